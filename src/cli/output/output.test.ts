import { spawnSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { Writable } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Output } from "./output.ts";

let directory: string;
let fd: number;
beforeEach(() => {
	directory = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
	const pipe = path.join(directory, "pipe");
	spawnSync("mkfifo", [pipe]);
	fd = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
});
afterEach(() => {
	closeSync(fd);
	rmSync(directory, { recursive: true, force: true });
});

/** A stream that keeps what is written to it, in place of Node's. */
class Kept extends Writable {
	text = "";
	override _write(chunk: Buffer, _: string, done: () => void): void {
		this.text += chunk.toString();
		done();
	}
}

function readAll(): string {
	const buffer = Buffer.alloc(1 << 20);
	return buffer.toString("utf8", 0, readSync(fd, buffer));
}

test("text goes to the descriptor, and no stream is opened for it", async () => {
	const output = new Output(fd, () => {
		throw new Error("no stream is needed");
	});
	output.write("one\n");
	output.write(Buffer.from("two\n"));
	await output.finished();
	expect(readAll()).toBe("one\ntwo\n");
});

test("what a full pipe does not take goes to the stream, and so does all that comes later", async () => {
	const stream = new Kept();
	const output = new Output(fd, () => stream);
	const text = "0123456789".repeat(20_000);
	output.write(text);
	const taken = readAll();
	output.write("later");
	await output.finished();
	expect(taken.length).toBeGreaterThan(0);
	expect(stream.text.length).toBeGreaterThan("later".length);
	expect(taken + stream.text).toBe(`${text}later`);
});

test("once the stream is asked for, nothing overtakes what it still has to write", async () => {
	const stream = new Kept();
	const output = new Output(fd, () => stream);
	output.stream.write("one ");
	output.write("two");
	await output.finished();
	expect(stream.text).toBe("one two");
});

test("a failure is told, by the descriptor and by the stream", async () => {
	const failures: (string | undefined)[] = [];
	const full = openSync("/dev/full", "w");
	const direct = new Output(full, () => new Kept());
	direct.onFailure = ({ code }) => failures.push(code);
	direct.write("text");
	closeSync(full);
	const stream = new Kept();
	const streamed = new Output(fd, () => stream);
	streamed.onFailure = ({ message }) => failures.push(message);
	streamed.stream.destroy(new Error("gone"));
	await new Promise((resolve) => stream.once("close", resolve));
	expect(failures).toEqual(["ENOSPC", "gone"]);
});
