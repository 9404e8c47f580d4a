import { Writable } from "node:stream";
import { expect, test } from "vitest";
import { openOutput } from "./output-file.ts";

/** Takes the first chunk and never says that it is done with it. */
const stuck = (): Writable => new Writable({ write: () => undefined });
const reason = (writing: Promise<void>): Promise<unknown> =>
	writing.then(
		() => undefined,
		(error: unknown) => error,
	);

test("a stream that somebody closes fails the write that is under way, and the next", async () => {
	const stream = stuck();
	const output = await openOutput(stream, undefined);
	const writing = reason(output.write(Buffer.from("a")));
	stream.destroy();
	expect(await writing).toMatchObject({ code: "ERR_STREAM_PREMATURE_CLOSE" });
	await expect(output.write(Buffer.from("b"))).rejects.toMatchObject({ code: "ERR_STREAM_PREMATURE_CLOSE" });
	await output.abandon();
});

test("a stream that fails between two writes fails the second, and its event ends nothing", async () => {
	const stream = new Writable({ write: (_chunk, _encoding, done) => done() });
	const output = await openOutput(stream, undefined);
	await output.write(Buffer.from("a"));
	stream.destroy(new Error("the disk is on fire"));
	await new Promise(setImmediate);
	await expect(output.write(Buffer.from("b"))).rejects.toThrow("on fire");
	await expect(output.finish()).rejects.toThrow("on fire");
});

test("a cancelled export does not wait for its stream", async () => {
	const abort = new AbortController();
	const output = await openOutput(stuck(), abort.signal);
	const writing = reason(output.write(Buffer.from("a")));
	abort.abort();
	expect(await writing).toMatchObject({ code: "EABORTED" });
	await output.abandon();
});
