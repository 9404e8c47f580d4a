import { threadId } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import { isLamellaError, LamellaError } from "../errors/index.ts";
import { JobPool } from "./job-pool.ts";
import type { SampleJobs } from "./testing/sample-jobs.ts";

const module = "jobs/testing/sample-jobs.js";
let pool: JobPool<SampleJobs>;

afterEach(async () => {
	await pool.dispose();
});

function open(threads = 2): JobPool<SampleJobs> {
	pool = new JobPool<SampleJobs>(module, { threads });
	return pool;
}

describe("a job pool", () => {
	it("runs many jobs on few threads", async () => {
		open();
		const results = await Promise.all(Array.from({ length: 50 }, (_, n) => pool.run("double", n)));
		expect(results).toEqual(Array.from({ length: 50 }, (_, n) => n * 2));
	});

	it("runs a short job in the calling thread, and gives up there what fails or takes long", async () => {
		open();
		expect(await pool.tryHere("whichThread", undefined)).toEqual({ result: threadId });
		expect(await pool.tryHere("fail", { how: "lamella" })).toBeUndefined();
		expect(await pool.tryHere("spin", {})).toBeUndefined();
		expect(await pool.run("whichThread", undefined)).not.toBe(threadId);
	});

	it("keeps code, layer, path and cause of an error", async () => {
		const error = await open()
			.run("fail", { how: "lamella" })
			.catch((error: unknown) => error);
		expect(error).toBeInstanceOf(LamellaError);
		expect(error).toMatchObject({
			code: "ETAR",
			layer: "web",
			path: "etc/passwd",
			message: "the tar is cut off",
		});
		expect((error as Error).cause).toMatchObject({
			code: "ENOENT",
			syscall: "open",
			path: "/nonexistent/file",
		});
	});

	it("keeps the errno of an error of Node", async () => {
		await expect(open().run("fail", { how: "node" })).rejects.toMatchObject({ code: "ENOENT" });
		await expect(pool.run("fail", { how: "plain" })).rejects.toThrow("plain trouble");
	});

	it("cancels a running job and a queued one", async () => {
		const controller = new AbortController();
		const started = new SharedArrayBuffer(4);
		const running = open(1).run("spin", { started }, { signal: controller.signal });
		const queued = pool.run("spin", {}, { signal: controller.signal });
		await Promise.all([
			running.catch(ignore),
			queued.catch(ignore),
			waitFor(started).then(() => controller.abort()),
		]);
		await expect(running).rejects.toMatchObject({ code: "EABORTED" });
		await expect(queued).rejects.toMatchObject({ code: "EABORTED" });
		// The thread is free again.
		expect(await pool.run("double", 4)).toBe(8);
	});

	it("refuses at once when the signal has fired already", async () => {
		await expect(open().run("double", 1, { signal: AbortSignal.abort() })).rejects.toSatisfy((error) =>
			isLamellaError(error, "EABORTED"),
		);
	});

	it("fails the job of a thread that dies, and goes on with a new thread", async () => {
		const dying = open(1).run("die", { how: "exit" });
		const next = pool.run("double", 21);
		await expect(dying).rejects.toThrow(/the worker thread died while it ran "die"/);
		expect(await next).toBe(42);
		await expect(pool.run("die", { how: "throw" })).rejects.toThrow(/out of nowhere/);
		expect(await pool.run("double", 1)).toBe(2);
	});

	it("gives jobs that wait for each other threads of their own", async () => {
		open(1);
		const gates = [1, 2, 3].map(() => new SharedArrayBuffer(4));
		const waiting = gates.map((gate) => pool.run("wait", gate, { waits: true }));
		await Promise.all(gates.map((gate) => pool.run("wake", gate, { waits: true })));
		expect(await Promise.all(waiting)).toEqual([1, 1, 1]);
	});

	it("reports progress while the job runs", async () => {
		const seen: number[] = [];
		await open().run("report", 20 * 1024 * 1024, { onProgress: (bytes) => seen.push(bytes) });
		expect(seen.length).toBeGreaterThan(0);
		expect(seen).toEqual([...seen].sort((a, b) => a - b));
	});

	it("names a job that does not exist", async () => {
		await expect(open().run("nothing" as "double", 1)).rejects.toThrow(/has no job "nothing"/);
	});
});

function ignore(): void {
	// The assertion comes later.
}

async function waitFor(shared: SharedArrayBuffer): Promise<void> {
	const flag = new Int32Array(shared);
	while (Atomics.load(flag, 0) === 0) await new Promise((resolve) => setImmediate(resolve));
}
