import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { JobPool } from "../../jobs/index.ts";
import { type DiffSubject, LAYER_JOBS, type LayerJobs } from "../../layer/index.ts";
import { streamFromSink } from "./pipes.ts";
import { readSubject, writeDiff } from "./small-reads.ts";

let directory: string;
let subject: DiffSubject;
let inThread: string[];
let jobs: JobPool<LayerJobs>;

class CountingPool extends JobPool<LayerJobs> {
	override run: JobPool<LayerJobs>["run"] = (name, request, options) => {
		inThread.push(name);
		return super.run(name, request, options);
	};
}

beforeEach(() => {
	directory = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
	subject = { form: "upper", upper: directory, lowers: [], xattrPrefix: "trusted.overlay." };
	inThread = [];
	jobs = new CountingPool(LAYER_JOBS);
});
afterEach(async () => {
	await jobs.dispose();
	rmSync(directory, { recursive: true, force: true });
});

const write = (name: string, content: string | Buffer = name): void => {
	const file = path.join(directory, name);
	mkdirSync(path.dirname(file), { recursive: true });
	writeFileSync(file, content);
};
const changes = async (): Promise<number> => (await readSubject(jobs, "changes", subject, {})).length;
async function diff(): Promise<Buffer> {
	const sink = streamFromSink();
	const tar = buffer(sink.stream);
	const { tarSizeBytes } = await writeDiff(jobs, { subject, fd: sink.fd }, {});
	sink.finish();
	expect((await tar).length).toBe(tarSizeBytes);
	return tar;
}

describe("what a layer changed", () => {
	it("is read without a thread where it is little, to the same bytes", async () => {
		write("a/b/c");
		write("d");
		expect([await changes(), await readSubject(jobs, "diffSize", subject, {})]).toEqual([4, 6]);
		const here = await diff();
		expect(inThread).toEqual([]);
		const sink = streamFromSink();
		const tar = buffer(sink.stream);
		await jobs.run("diff", { subject, fd: sink.fd }, { waits: true });
		sink.finish();
		expect(here.equals(await tar)).toBe(true);
	});

	it("is read in a thread where it has many entries, or more bytes than a pipe holds", async () => {
		for (let n = 0; n < 65; n++) write(`many/${n}`);
		expect(await changes()).toBe(66);
		await diff();
		rmSync(path.join(directory, "many"), { recursive: true });
		write("large", Buffer.alloc(3 << 20, 1));
		await diff();
		expect(inThread).toEqual(["changes", "diff", "diff"]);
	});

	it("is an error of the thread where it cannot be read, and is not read once it is cancelled", async () => {
		const signal = AbortSignal.abort();
		await expect(readSubject(jobs, "changes", subject, { signal })).rejects.toMatchObject({
			code: "EABORTED",
		});
		rmSync(directory, { recursive: true });
		await expect(changes()).rejects.toMatchObject({ code: "ENOENT" });
	});
});
