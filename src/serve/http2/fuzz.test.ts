/** Whatever a client says, the server's process goes on, and so do its other connections. */
import { once } from "node:events";
import net from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Flag, FrameType, frameOf, uint32 } from "./frames.ts";
import { encodeHeaders } from "./hpack.ts";
import type { ServerStream } from "./stream.ts";
import { data, headers, PREFACE, REQUEST, request } from "./testing/frame-client.ts";
import { HEADERS, Served, TRAILERS } from "./testing/served.ts";

/** Answers in all the ways there are. */
function serve(stream: ServerStream): void {
	const ways: (() => unknown)[] = [
		() => stream.answer(HEADERS, Buffer.alloc(1000), TRAILERS),
		() => stream.answer(HEADERS, Buffer.alloc(100_000), TRAILERS),
		() => stream.respond(HEADERS, { end: true }),
		async () => {
			stream.respond(HEADERS);
			for (let i = 0; i < 3; i++) if (!stream.write(Buffer.alloc(30_000))) await stream.writable();
			stream.end(TRAILERS);
		},
		() => undefined,
	];
	stream.bodyBytesMax = 500;
	stream.onTooLong = () => stream.respond(HEADERS, { end: true });
	stream.onRequest = (body) => ways[(body.length + (stream.id >> 1)) % ways.length]?.();
}

const SETTINGS = frameOf(FrameType.SETTINGS, 0, 0, Buffer.alloc(0));
const SESSION = Buffer.concat([
	PREFACE,
	SETTINGS,
	request(1, "one"),
	headers(3, Flag.END_HEADERS | Flag.END_STREAM),
	frameOf(FrameType.PING, 0, 0, Buffer.alloc(8)),
	headers(5),
	data(5, "five"),
	frameOf(FrameType.WINDOW_UPDATE, 0, 0, uint32(100_000)),
	frameOf(FrameType.WINDOW_UPDATE, 0, 5, uint32(100)),
	frameOf(FrameType.SETTINGS, 0, 0, Buffer.from([0, 4, 0, 0, 0, 100, 0, 1, 0, 0, 0, 0])),
	data(5, "more", Flag.END_STREAM),
	headers(7, 0, []),
	frameOf(FrameType.CONTINUATION, Flag.END_HEADERS, 7, encodeHeaders(REQUEST)),
	frameOf(FrameType.RST_STREAM, 0, 7, uint32(8)),
	request(9, Buffer.alloc(600)),
]);

/** Says it, waits until the server has closed the connection, and that it does for all that is said. */
async function say(path: string, bytes: Uint8Array): Promise<void> {
	const socket = net.connect(path);
	// The server closes when it has had enough.
	socket.on("error", () => undefined);
	socket.resume();
	const closed = new Promise((resolve) => socket.once("close", resolve));
	await once(socket, "connect");
	socket.end(bytes);
	await closed;
}

async function survives(said: fc.Arbitrary<Uint8Array>): Promise<void> {
	await using served = await Served.start(serve, { unreadBytesMax: 10_000 });
	const good = await served.greeted();
	good.say(frameOf(FrameType.WINDOW_UPDATE, 0, 0, uint32(1 << 20)));
	let id = 1;
	await fc.assert(
		fc.asyncProperty(said, async (bytes) => {
			await say(served.path, bytes);
			id += 2;
			// One way in five answers with a body this long.
			if ((6 + (id >> 1)) % 5 !== 0) return;
			good.say(request(id, "answer"));
			expect((await good.answer(id)).body).toHaveLength(1000);
		}),
		{ numRuns: 400 },
	);
	expect(good.isClosed).toBe(false);
	await good.heard();
	expect(served.closed).toBe(served.connections.length - 1);
}

test("survives a session with some bytes changed, dropped or put in", async () => {
	const edit = fc.record({
		at: fc.nat(SESSION.length - 1),
		removed: fc.constantFrom(0, 1, 1, 1, 5),
		put: fc.uint8Array({ maxLength: 2 }),
	});
	await survives(
		fc.array(edit, { minLength: 1, maxLength: 4 }).map((edits) => {
			let bytes = SESSION;
			for (const { at, removed, put } of edits) {
				bytes = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + removed)]);
			}
			return bytes;
		}),
	);
});

test("survives any frames in any order", async () => {
	const block = encodeHeaders(REQUEST);
	const streamId = fc.constantFrom(0, 1, 2, 3, 5, 7, 2 ** 31 - 1);
	const flags = fc.oneof(fc.constantFrom(0, 1, 4, 5), fc.nat(255));
	const value = fc.constantFrom(0, 1, 100, 16_384, 65_535, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1);
	const frame: fc.Arbitrary<Parameters<typeof frameOf>> = fc.oneof(
		fc.tuple(fc.nat(10), flags, streamId, fc.uint8Array({ maxLength: 30 })),
		fc.tuple(fc.constantFrom(1, 1, 1, 9), flags, streamId, fc.constantFrom(block, block.subarray(0, 20))),
		fc.tuple(
			fc.constant(0),
			flags,
			streamId,
			fc.nat(400).map((length) => Buffer.alloc(length)),
		),
		fc.tuple(
			fc.constantFrom(3, 8),
			fc.constant(0),
			streamId,
			value.map((number) => uint32(number)),
		),
		fc.tuple(
			fc.constant(4),
			fc.constant(0),
			fc.constant(0),
			fc.tuple(fc.nat(7), value).map(([id, number]) => Buffer.concat([Buffer.of(0, id), uint32(number)])),
		),
	);
	await survives(
		fc
			.array(frame, { maxLength: 12 })
			.map((frames) => Buffer.concat([PREFACE, SETTINGS, ...frames.map((parts) => frameOf(...parts))])),
	);
});
