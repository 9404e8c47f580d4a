import { chmodSync, chownSync, existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeDirectory, type TestFilesystem } from "../../test/support/filesystems.ts";
import { run } from "../../test/support/processes.ts";
import { claimSocket, listenAt } from "./listen.ts";

let home: TestFilesystem;
beforeEach(() => {
	home = makeDirectory();
});
afterEach(() => home[Symbol.dispose]());

const modeOf = (file: string): string => (statSync(file).mode & 0o7777).toString(8);

async function listening(file: string) {
	const claim = await claimSocket(file);
	const server = net.createServer();
	await listenAt(server, claim);
	return { claim, server, close: () => new Promise<void>((done) => server.close(() => done())) };
}

describe("a daemon's socket", () => {
	it("is 0600 in a directory of 0700 that is made for it", async () => {
		const file = path.join(home.path, "a/b/x.sock");
		const { claim, close } = await listening(file);
		expect([modeOf(file), modeOf(path.dirname(file))]).toEqual(["600", "700"]);
		await close();
		claim.release();
		expect(existsSync(file)).toBe(false);
		expect(existsSync(`${file}.lock`)).toBe(false);
	});

	it("closes a directory that holds nothing else, and leaves one that does", async () => {
		const own = path.join(home.path, "own");
		const shared = path.join(home.path, "shared");
		for (const directory of [own, shared]) {
			mkdirSync(directory);
			chmodSync(directory, 0o755);
		}
		writeFileSync(path.join(shared, "file"), "");
		using first = await claimSocket(path.join(own, "x.sock"));
		using second = await claimSocket(path.join(shared, "x.sock"));
		expect(first.path).not.toBe(second.path);
		expect([modeOf(own), modeOf(shared)]).toEqual(["700", "755"]);
	});

	it("replaces the socket file of a process that was killed", async () => {
		const file = path.join(home.path, "x.sock");
		const killed = `require("net").createServer().listen(${JSON.stringify(file)},()=>process.kill(process.pid,"SIGKILL"))`;
		run(process.execPath, ["-e", killed], { mayFail: true });
		expect(statSync(file).isSocket()).toBe(true);
		const { claim, close } = await listening(file);
		await close();
		claim.release();
	});

	it("is not taken from somebody who listens, with our lock or without", async () => {
		const ours = path.join(home.path, "ours.sock");
		const { claim, close } = await listening(ours);
		await expect(claimSocket(ours)).rejects.toMatchObject({ code: "EBUSY" });
		expect(statSync(ours).isSocket()).toBe(true);
		await close();
		claim.release();

		const foreign = path.join(home.path, "foreign.sock");
		const server = net.createServer();
		await new Promise<void>((done) => server.listen(foreign, done));
		await expect(claimSocket(foreign)).rejects.toMatchObject({ code: "EBUSY" });
		expect(existsSync(`${foreign}.lock`)).toBe(false);
		await new Promise<void>((done) => server.close(() => done()));
	});

	it("never replaces a file that is no socket, and takes no path that the kernel would cut", async () => {
		const file = path.join(home.path, "x.sock");
		writeFileSync(file, "precious");
		await expect(claimSocket(file)).rejects.toMatchObject({ code: "EEXISTS" });
		await expect(claimSocket("relative.sock")).rejects.toMatchObject({ code: "EINVALID" });
		await expect(claimSocket(path.join(home.path, "x".repeat(108)))).rejects.toMatchObject({
			code: "EINVALID",
		});
	});

	it("is not made in a directory of another user, nor in one that others can change", async () => {
		const theirs = path.join(home.path, "theirs");
		mkdirSync(theirs);
		chownSync(theirs, 1000, 1000);
		const open = path.join(home.path, "open");
		mkdirSync(open);
		chmodSync(open, 0o777);
		writeFileSync(path.join(open, "file"), "");
		for (const directory of [theirs, open]) {
			await expect(claimSocket(path.join(directory, "x.sock"))).rejects.toMatchObject({
				code: "ECONFIG",
			});
			expect(existsSync(path.join(directory, "x.sock.lock"))).toBe(false);
		}
		// As /tmp is.
		chmodSync(open, 0o1777);
		using claim = await claimSocket(path.join(open, "x.sock"));
		expect(claim.path).toContain("open/x.sock");
	});

	it("takes 900 connections that come at once", async () => {
		const file = path.join(home.path, "x.sock");
		const { claim, server, close } = await listening(file);
		server.on("connection", (socket) => socket.end());
		const connections = Array.from({ length: 900 }, () => {
			// Within one turn of the event loop: nothing is accepted meanwhile.
			const socket = net.connect(file).resume();
			return new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
		});
		await Promise.all(connections);
		await close();
		claim.release();
	});
});
