import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { expect, test, vi } from "vitest";
import { ErrorCode, Flag, FrameType, frameOf, uint32 } from "./frames.ts";
import { encodeHeaders, type HeaderField } from "./hpack.ts";
import type { ServerStream } from "./stream.ts";
import { data, type FrameClient, headers, PREFACE, REQUEST, request } from "./testing/frame-client.ts";
import { echo, HEADERS, Served, TRAILERS } from "./testing/served.ts";

const { ACK, END_HEADERS, END_STREAM, PADDED, PRIORITY } = Flag;
const { PROTOCOL_ERROR, FRAME_SIZE_ERROR, FLOW_CONTROL_ERROR, COMPRESSION_ERROR, ENHANCE_YOUR_CALM } =
	ErrorCode;
const WINDOW_BYTES = 1 << 20;
const HEADER_TABLE_SIZE = 1;
const INITIAL_WINDOW_SIZE = 4;

const of = (
	type: keyof typeof FrameType,
	flags: number,
	streamId: number,
	payload: Uint8Array | number[],
): Buffer => frameOf(FrameType[type], flags, streamId, Buffer.from(payload));
const widen = (streamId: number, bytes: number): Buffer => of("WINDOW_UPDATE", 0, streamId, uint32(bytes));
const reset = (streamId: number): Buffer => of("RST_STREAM", 0, streamId, uint32(ErrorCode.CANCEL));
const settings = (id: number, value: number): Buffer =>
	of("SETTINGS", 0, 0, [id >> 8, id & 0xff, ...uint32(value)]);
const block = Buffer.from(encodeHeaders(REQUEST));

/** Takes requests, and answers none by itself. */
function keep(): void {}

async function isAnswered(client: FrameClient, streamId: number, body: string): Promise<void> {
	const answer = await client.answer(streamId);
	expect(String(answer.body)).toBe(body);
	expect(answer.blocks).toEqual([[[":status", "200"]], [["end", "well"]]]);
}

test("answers requests, and says what it allows", async () => {
	await using served = await Served.start();
	const client = await served.greeted();
	expect(client.frames.map(({ type, flags }) => [type, flags])).toEqual([
		[FrameType.SETTINGS, 0],
		[FrameType.WINDOW_UPDATE, 0],
		[FrameType.SETTINGS, ACK],
		[FrameType.PING, ACK],
		[FrameType.PING, ACK],
	]);
	client.say(request(1, "one"), request(3), headers(5, END_HEADERS | END_STREAM), headers(9));
	await isAnswered(client, 1, "one");
	await isAnswered(client, 3, "");
	await isAnswered(client, 5, "");
	client.say(data(9, "a"), data(9, ""), data(9, "bc"), data(9, "", END_STREAM));
	await isAnswered(client, 9, "abc");
	expect(served.streams[0]?.headers).toEqual(new Map(REQUEST));
	expect(served.broken).toEqual([]);
});

test.each<[string, Uint8Array[], ErrorCode | undefined]>([
	["HTTP/1", [Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")], PROTOCOL_ERROR],
	["a preface with a mistake at its end", [PREFACE.subarray(0, 23), Buffer.from("x")], PROTOCOL_ERROR],
	["a request first", [PREFACE, request(1)], PROTOCOL_ERROR],
	["a ping first", [PREFACE, of("PING", 0, 0, Buffer.alloc(8))], PROTOCOL_ERROR],
	["an unknown frame first", [PREFACE, frameOf(99, 0, 0, Buffer.alloc(0))], PROTOCOL_ERROR],
	["an acknowledgement first", [PREFACE, of("SETTINGS", ACK, 0, []), request(1)], PROTOCOL_ERROR],
])("a connection that begins with %s is ended", async (_, said, code) => {
	await using served = await Served.start();
	const client = await served.connect();
	client.say(...said);
	expect(await client.closedWith()).toBe(code);
	expect(served.broken).toHaveLength(1);
	expect(served.streams).toEqual([]);
});

const TOO_LONG = Buffer.concat([Buffer.from([0x00, 0x40, 0x01, 0, 0, 0, 0, 0, 1]), Buffer.alloc(16_385)]);
const first = headers(1);
const whole = request(1);

test.each<[string, Uint8Array[], ErrorCode]>([
	["data on stream 0", [data(0, "x")], PROTOCOL_ERROR],
	["headers on stream 0", [headers(0)], PROTOCOL_ERROR],
	["priority on stream 0", [of("PRIORITY", 0, 0, Buffer.alloc(5))], PROTOCOL_ERROR],
	["a reset of stream 0", [reset(0)], PROTOCOL_ERROR],
	["a continuation on stream 0", [of("CONTINUATION", END_HEADERS, 0, block)], PROTOCOL_ERROR],
	["settings on a stream", [of("SETTINGS", 0, 1, [])], PROTOCOL_ERROR],
	["an acknowledgement on a stream", [of("SETTINGS", ACK, 1, [])], PROTOCOL_ERROR],
	["a ping on a stream", [of("PING", 0, 1, Buffer.alloc(8))], PROTOCOL_ERROR],
	["GOAWAY on a stream", [of("GOAWAY", 0, 1, Buffer.alloc(8))], PROTOCOL_ERROR],
	["a pushed request", [first, of("PUSH_PROMISE", END_HEADERS, 1, [0, 0, 0, 2, ...block])], PROTOCOL_ERROR],
	["an even stream", [headers(2)], PROTOCOL_ERROR],
	["an even stream below those that were opened", [request(5), headers(2)], PROTOCOL_ERROR],
	["a stream below those that were opened", [request(5), headers(3)], PROTOCOL_ERROR],
	[
		"a whole request below those that were opened",
		[request(5), headers(3, END_HEADERS | END_STREAM)],
		PROTOCOL_ERROR,
	],
	["a stream that was opened before", [whole, headers(1)], PROTOCOL_ERROR],
	["headers twice", [first, headers(1)], PROTOCOL_ERROR],
	["data on a stream that was not opened", [data(1, "x")], PROTOCOL_ERROR],
	["data on an even stream", [request(5), data(4, "x")], PROTOCOL_ERROR],
	["a reset of a stream that was not opened", [reset(1)], PROTOCOL_ERROR],
	["a window for a stream that was not opened", [widen(1, 1)], PROTOCOL_ERROR],
	["a continuation of nothing", [first, of("CONTINUATION", END_HEADERS, 1, block)], PROTOCOL_ERROR],
	["headers interrupted by data", [first, headers(3, 0), data(1, "x")], PROTOCOL_ERROR],
	["headers interrupted by a ping", [headers(1, 0), of("PING", 0, 0, Buffer.alloc(8))], PROTOCOL_ERROR],
	[
		"headers interrupted by what is unknown",
		[headers(1, 0), frameOf(99, 0, 1, Buffer.alloc(0))],
		PROTOCOL_ERROR,
	],
	["headers interrupted by headers", [headers(1, 0), headers(3)], PROTOCOL_ERROR],
	[
		"headers continued on another stream",
		[headers(1, 0), of("CONTINUATION", END_HEADERS, 3, [])],
		PROTOCOL_ERROR,
	],
	["data that is all padding", [first, of("DATA", PADDED, 1, [5, 0, 0, 0, 0])], PROTOCOL_ERROR],
	["padded data with nothing in it", [first, of("DATA", PADDED, 1, [])], PROTOCOL_ERROR],
	["headers that are all padding", [of("HEADERS", PADDED | END_HEADERS, 1, [2, 0])], PROTOCOL_ERROR],
	["headers without their priority", [of("HEADERS", PRIORITY | END_HEADERS, 1, [0, 0])], PROTOCOL_ERROR],
	[
		"headers padded into their priority",
		[of("HEADERS", PRIORITY | PADDED | END_HEADERS, 1, [3, 0, 0, 0, 0, 0, 0, 0])],
		PROTOCOL_ERROR,
	],
	["a short ping", [of("PING", 0, 0, Buffer.alloc(7))], FRAME_SIZE_ERROR],
	["a long ping", [of("PING", ACK, 0, Buffer.alloc(9))], FRAME_SIZE_ERROR],
	["a short reset", [first, of("RST_STREAM", 0, 1, [0, 0, 0])], FRAME_SIZE_ERROR],
	["a long window", [of("WINDOW_UPDATE", 0, 0, [0, 0, 0, 0, 1])], FRAME_SIZE_ERROR],
	["a short priority", [of("PRIORITY", 0, 1, Buffer.alloc(4))], FRAME_SIZE_ERROR],
	["settings cut off", [of("SETTINGS", 0, 0, Buffer.alloc(7))], FRAME_SIZE_ERROR],
	["an acknowledgement with settings", [of("SETTINGS", ACK, 0, Buffer.alloc(6))], FRAME_SIZE_ERROR],
	["a short GOAWAY", [of("GOAWAY", 0, 0, Buffer.alloc(7))], FRAME_SIZE_ERROR],
	["a frame of more than 16 KiB", [first, TOO_LONG], FRAME_SIZE_ERROR],
	["pushing neither on nor off", [settings(2, 2)], PROTOCOL_ERROR],
	["a window of 2 GiB for streams", [settings(INITIAL_WINDOW_SIZE, 2 ** 31)], FLOW_CONTROL_ERROR],
	["frames of less than 16 KiB", [settings(5, 16_383)], PROTOCOL_ERROR],
	["frames of 16 MiB", [settings(5, 2 ** 24)], PROTOCOL_ERROR],
	["a window opened by nothing", [widen(0, 0)], PROTOCOL_ERROR],
	["a window opened too far", [widen(0, 2 ** 31 - 65_535)], FLOW_CONTROL_ERROR],
	[
		"a stream's window opened too far by settings",
		[first, widen(1, 2 ** 31 - 65_536), settings(INITIAL_WINDOW_SIZE, 65_536)],
		FLOW_CONTROL_ERROR,
	],
	["a header block that makes no sense", [of("HEADERS", END_HEADERS, 1, [0x80])], COMPRESSION_ERROR],
	["a header block cut off", [of("HEADERS", END_HEADERS, 1, block.subarray(0, -1))], COMPRESSION_ERROR],
	[
		"trailers that make no sense",
		[first, of("HEADERS", END_HEADERS | END_STREAM, 1, [0xff])],
		COMPRESSION_ERROR,
	],
	[
		"headers for a closed stream that make no sense",
		[first, reset(1), of("HEADERS", END_HEADERS | END_STREAM, 1, [0xff])],
		COMPRESSION_ERROR,
	],
])("%s ends the connection", async (_, said, code) => {
	await using served = await Served.start();
	const client = await served.greeted();
	// What comes after is not looked at.
	client.say(...said, request(101));
	expect(await client.closedWith()).toBe(code);
	expect(served.broken).toHaveLength(1);
	expect(served.streams.filter(({ id }) => id === 101)).toEqual([]);
});

const without = (name: string): HeaderField[] => REQUEST.filter(([key]) => key !== name);
const and = (...fields: HeaderField[]): HeaderField[] => [...REQUEST, ...fields];

test.each<[string, readonly HeaderField[]]>([
	["no fields", []],
	["no :method", without(":method")],
	["no :path", without(":path")],
	["no :scheme", without(":scheme")],
	["an empty :path", [...without(":path"), [":path", ""]].sort() as HeaderField[]],
	[
		"CONNECT's fields",
		[
			[":method", "CONNECT"],
			[":authority", "localhost"],
		],
	],
	[":path twice", [[":path", "/"], ...REQUEST]],
	["an answer's field", [[":status", "200"], ...REQUEST]],
	["an unknown pseudo field", [[":protocol", "x"], ...REQUEST]],
	["a pseudo field after others", [...without(":authority"), [":authority", "localhost"]]],
	["capitals in a name", and(["X-Capital", "1"])],
	["a blank in a name", and(["x y", "1"])],
	["a colon in a name", and(["x:y", "1"])],
	["a byte of no text in a name", and(["x\x7f", "1"])],
	["a name that is not ASCII", and(["x\xe9", "1"])],
	["an empty name", and(["", "1"])],
	["a line's end in a value", and(["x", "1\r\ny: 2"])],
	["a zero in a value", and(["x", "\0"])],
	["a zero in a pseudo field", [[":authority", "\0"], ...without(":authority")]],
	["HTTP/1's connection", and(["connection", "keep-alive"])],
	["HTTP/1's transfer-encoding", and(["transfer-encoding", "chunked"])],
	["te that is not for trailers", and(["te", "gzip"])],
])("a request with %s is reset, and the next one answered", async (_, fields) => {
	await using served = await Served.start();
	const client = await served.greeted();
	client.say(headers(1, END_HEADERS, fields), data(1, "", END_STREAM), request(3, "good"));
	await isAnswered(client, 3, "good");
	expect(client.resetOf(1)).toBe(PROTOCOL_ERROR);
	expect(served.streams.map(({ id }) => id)).toEqual([3]);
});

test("takes fields of any name and text, several of a name, and of several the last", async () => {
	await using served = await Served.start();
	const client = await served.greeted();
	const fields = and(["!#$%&'*+-.^_`|~", ""], ["x", "1"], ["x", " \t\x01\x7f\xff"]);
	client.say(headers(1, END_HEADERS | END_STREAM, fields));
	await isAnswered(client, 1, "");
	expect(served.streams[0]?.headers.get("!#$%&'*+-.^_`|~")).toBe("");
	expect(served.streams[0]?.headers.get("x")).toBe(" \t\x01\x7f\xff");
});

test("takes padding, priorities, continuations, trailers, and frames of a kind that came later", async () => {
	await using served = await Served.start();
	const client = await served.greeted([0x7a7a, 1], [HEADER_TABLE_SIZE, 1 << 20], [5, 2 ** 24 - 1], [2, 0]);
	const unknown = frameOf(99, 0xff, 1, Buffer.from("anything"));
	client.say(
		of("PRIORITY", 0, 7, Buffer.alloc(5)),
		unknown,
		of("HEADERS", PADDED | PRIORITY | 0xc2, 1, [3, 0, 0, 0, 0, 16, ...block.subarray(0, 10), 0, 0, 0]),
		of("CONTINUATION", 0xfb, 1, block.subarray(10, 20)),
		of("CONTINUATION", 0, 1, []),
		of("CONTINUATION", END_HEADERS, 1, block.subarray(20)),
		unknown,
		of("DATA", PADDED, 1, [2, 0x61, 0, 0]),
		of("DATA", PADDED | 0xf6, 1, [0, 0x62]),
		of("DATA", PADDED, 1, [1, 0]),
		of("SETTINGS", ACK, 0, []),
		of("PING", ACK, 0, Buffer.alloc(8)),
		of("GOAWAY", 0, 0, Buffer.alloc(20)),
		headers(1, END_HEADERS | END_STREAM, [["some", "trailer"]]),
	);
	await isAnswered(client, 1, "ab");
	expect(served.streams[0]?.headers).toEqual(new Map(REQUEST));
	const pings = client.frames.filter(({ type }) => type === FrameType.PING).length;
	client.say(of("PING", 0, 0, [1, 2, 3, 4, 5, 6, 7, 8]));
	await client.until(
		() => client.frames.filter(({ type }) => type === FrameType.PING).length > pings || undefined,
	);
	expect(client.frames.at(-1)).toMatchObject({ flags: ACK, payload: Buffer.from([1, 2, 3, 4, 5, 6, 7, 8]) });
	// The two that began the connection, and this one.
	expect(client.frames.filter(({ type }) => type === FrameType.PING)).toHaveLength(3);
});

test("resets a stream whose trailers are not the end of a request", async () => {
	await using served = await Served.start(keep);
	const client = await served.greeted();
	client.say(headers(1), headers(1, END_HEADERS | END_STREAM, REQUEST));
	await client.heard();
	expect(client.resetOf(1)).toBe(PROTOCOL_ERROR);
	// What comes for it later may have been on its way.
	client.say(
		data(1, "x", END_STREAM),
		headers(1, END_HEADERS | END_STREAM, [["x", "y"]]),
		widen(1, 5),
		reset(1),
	);
	await client.heard();
	expect(served.broken).toEqual([]);
});

test.each<[string, Uint8Array]>([
	["data", data(1, "x")],
	["trailers", headers(1, END_HEADERS | END_STREAM, [["x", "y"]])],
])("%s after a request's end resets its stream", async (_, after) => {
	await using served = await Served.start(keep);
	const client = await served.greeted();
	let lost = 0;
	client.say(request(1), headers(3));
	await client.heard();
	for (const stream of served.streams) stream.onLost = () => (lost += 1);
	client.say(after);
	await client.heard();
	expect(client.resetOf(1)).toBe(ErrorCode.STREAM_CLOSED);
	expect(lost).toBe(1);
	expect(served.broken).toEqual([]);
});

test("takes a reset in every state of a stream", async () => {
	const lost: number[] = [];
	await using served = await Served.start((stream) => {
		stream.onLost = () => lost.push(stream.id);
		if (stream.id === 9) stream.respond(HEADERS, { end: true });
		if (stream.id === 11) stream.write(Buffer.alloc(100_000));
		if (stream.id === 13) stream.onRequest = () => stream.answer(HEADERS, Buffer.alloc(100_000), TRAILERS);
	});
	const client = await served.greeted();
	client.say(
		headers(1),
		reset(1),
		reset(1),
		...[headers(3), data(3, "x"), reset(3)],
		...[request(5), reset(5)],
		...[headers(7, END_HEADERS | END_STREAM), reset(7), data(7, "late", END_STREAM)],
		...[request(9), reset(9)],
		...[headers(11), reset(11)],
		...[request(13), reset(13)],
	);
	await client.heard();
	expect(lost).toEqual([1, 3, 5, 7, 11, 13]);
	expect(served.broken).toEqual([]);
	// Nothing can be said on them any more.
	const frames = client.frames.length;
	for (const stream of served.streams) {
		stream.respond(HEADERS);
		expect(stream.write(Buffer.from("x"))).toBe(true);
		stream.end(TRAILERS);
		stream.answer(HEADERS, Buffer.from("x"), TRAILERS);
		stream.reset(ErrorCode.CANCEL);
		await stream.writable();
	}
	await client.heard();
	expect(client.frames.length).toBe(frames + 2);
	expect(lost).toHaveLength(6);
});

test("opening a stream's window by nothing, or too far, resets it", async () => {
	await using served = await Served.start(keep);
	const client = await served.greeted();
	client.say(headers(1), widen(1, 0), headers(3), widen(3, 2 ** 31 - 65_536), widen(3, 1), request(5));
	await client.heard();
	expect(client.resetOf(1)).toBe(PROTOCOL_ERROR);
	expect(client.resetOf(3)).toBe(FLOW_CONTROL_ERROR);
	expect(served.broken).toEqual([]);
});

test("refuses more than a thousand streams at once, and takes them again later", async () => {
	await using served = await Served.start((stream) => {
		if (stream.id > 2001) stream.onRequest = (body) => stream.answer(HEADERS, body, TRAILERS);
	});
	const client = await served.greeted();
	for (let id = 1; id < 2001; id += 2) client.say(headers(id));
	client.say(headers(2001), data(2001, "refused", END_STREAM));
	await client.heard();
	expect(client.resetOf(2001)).toBe(ErrorCode.REFUSED_STREAM);
	expect(served.streams).toHaveLength(1000);
	client.say(reset(5), request(2003, "taken"));
	await isAnswered(client, 2003, "taken");
	expect(served.broken).toEqual([]);
});

test("ends a connection whose headers are too long, in one block, in many, or once decoded", async () => {
	await using served = await Served.start();
	const long = encodeHeaders(and(["x", "x".repeat(70_000)]));
	const part = (id: number, at: number): Buffer =>
		of(at === 0 ? "HEADERS" : "CONTINUATION", 0, id, long.subarray(at, at + 16_384));
	const small = of("CONTINUATION", 0, 1, []);
	// One byte an entry, of a table that has one of 2 KiB.
	const indexed = Buffer.concat([
		encodeHeaders(REQUEST),
		Buffer.of(0x40),
		encodeHeaders([["x", "y".repeat(2000)]]).subarray(1),
		Buffer.alloc(40, 0x80 | 62),
	]);
	for (const said of [
		[0, 1, 2, 3, 4].map((i) => part(1, i * 16_384)),
		[headers(1, 0), ...Array.from({ length: 66_000 }, () => small)],
		[of("HEADERS", END_HEADERS, 1, indexed)],
	]) {
		const client = await served.greeted();
		client.say(...said);
		expect(await client.closedWith()).toBe(ENHANCE_YOUR_CALM);
	}
	const client = await served.greeted();
	const fields = and(["x", "x".repeat(60_000)]);
	const most = encodeHeaders(fields);
	client.say(of("HEADERS", END_STREAM, 1, most.subarray(0, 16_384)));
	for (let at = 16_384; at < most.length; at += 16_384) {
		const isLast = at + 16_384 >= most.length;
		client.say(of("CONTINUATION", isLast ? END_HEADERS : 0, 1, most.subarray(at, at + 16_384)));
	}
	await isAnswered(client, 1, "");
	expect(served.streams.at(-1)?.headers).toEqual(new Map(fields));
});

test("sends headers that are too long for a frame in several", async () => {
	const long: HeaderField[] = [
		[":status", "200"],
		["x", "x".repeat(40_000)],
	];
	await using served = await Served.start((stream) => {
		stream.onRequest = () => stream.respond(encodeHeaders(long), { end: stream.id === 1 });
	});
	const client = await served.greeted();
	client.say(request(1), request(3));
	await client.answer(1);
	await client.until(() => client.fields.get(3));
	for (const id of [1, 3]) {
		expect(client.fields.get(id)).toEqual([long]);
		const sent = client.frames.filter(({ streamId }) => streamId === id);
		const end = id === 1 ? END_STREAM : 0;
		expect(sent.map(({ flags }) => flags)).toEqual([end, 0, END_HEADERS]);
	}
});

test("begins a header block with the size of its table where less than the usual one is allowed", async () => {
	await using served = await Served.start();
	const client = await served.greeted([HEADER_TABLE_SIZE, 4095]);
	client.say(request(1), request(3));
	await isAnswered(client, 1, "");
	await isAnswered(client, 3, "");
	const blocks = client.frames
		.filter(({ type }) => type === FrameType.HEADERS)
		.map(({ payload }) => payload[0]);
	expect(blocks).toEqual([0x20, 0, 0, 0]);
	// nghttp2 closes a connection that does not.
	const settings = { headerTableSize: 0 };
	const session = http2.connect("http://localhost", {
		settings,
		createConnection: () => net.connect(served.path),
	});
	try {
		await once(session, "localSettings");
		const stream = session.request({ ":method": "POST" });
		stream.resume();
		stream.end();
		const [answer] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
		expect(answer[":status"]).toBe(200);
		await once(stream, "close");
		expect(stream.rstCode).toBe(ErrorCode.NO_ERROR);
	} finally {
		session.destroy();
	}
});

test("sends no more than a stream's window, also while it is less than nothing", async () => {
	const body = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i));
	await using served = await Served.start((stream) => {
		stream.onRequest = () => stream.answer(HEADERS, body, TRAILERS);
	});
	const client = await served.greeted([INITIAL_WINDOW_SIZE, 1000]);
	client.say(widen(0, 1 << 20), request(1));
	await client.heard();
	let allowed = 1000;
	expect(client.bodyBytes()).toBe(allowed);
	for (const bytes of [1, 20_000, 100]) {
		client.say(widen(1, bytes));
		await client.heard();
		allowed += bytes;
		expect(client.bodyBytes()).toBe(allowed);
	}
	// The window goes to -1000, then -500, then 0, then 7.
	client.say(settings(INITIAL_WINDOW_SIZE, 0));
	for (const bytes of [500, 500, 7]) {
		client.say(widen(1, bytes));
		await client.heard();
		if (bytes === 7) allowed += 7;
		expect(client.bodyBytes()).toBe(allowed);
	}
	client.say(settings(INITIAL_WINDOW_SIZE, 10));
	await client.heard();
	expect(client.bodyBytes()).toBe(allowed + 10);
	client.say(settings(INITIAL_WINDOW_SIZE, 1_000_000));
	const answer = await client.answer(1);
	expect(answer.body.equals(body)).toBe(true);
	expect(answer.blocks).toHaveLength(2);
	expect(Math.max(...client.frames.map(({ payload }) => payload.length))).toBeLessThanOrEqual(16_384);
});

test("of settings that open a window and close it again only the last count", async () => {
	await using served = await Served.start((stream) => {
		stream.onRequest = () => stream.answer(HEADERS, Buffer.alloc(50_000), TRAILERS);
	});
	const client = await served.greeted([INITIAL_WINDOW_SIZE, 10]);
	client.say(request(1), of("SETTINGS", 0, 0, [0, 4, 0, 0, 0xff, 0xff, 0, 4, 0, 0, 0, 20]));
	await client.heard();
	expect(client.bodyBytes()).toBe(20);
});

test("an empty message goes out whatever the window", async () => {
	await using served = await Served.start((stream) => {
		stream.onRequest = () => stream.respond(HEADERS);
	});
	const client = await served.greeted();
	client.say(request(1));
	await client.heard();
	served.streams[0]?.write(Buffer.alloc(65_535));
	client.say(settings(INITIAL_WINDOW_SIZE, 0));
	await client.heard();
	served.streams[0]?.write(Buffer.alloc(0));
	served.streams[0]?.end(TRAILERS);
	expect((await client.answer(1)).body).toHaveLength(65_535);
});

test("streams share the connection's window, and none is left behind", async () => {
	await using served = await Served.start((stream) => {
		stream.onRequest = () => stream.answer(HEADERS, Buffer.alloc(50_000, stream.id), TRAILERS);
	});
	const client = await served.greeted([INITIAL_WINDOW_SIZE, 2 ** 31 - 1]);
	const ids = [1, 3, 5, 7, 9];
	client.say(...ids.map((id) => request(id)));
	await client.heard();
	let allowed = 65_535;
	expect(client.bodyBytes()).toBe(allowed);
	for (const bytes of [1, 16_384, 16_385, 70_000]) {
		client.say(widen(0, bytes));
		await client.heard();
		allowed += bytes;
		expect(client.bodyBytes()).toBe(allowed);
	}
	client.say(...Array.from({ length: 1000 }, () => widen(0, 100)));
	for (const id of ids) {
		const { body } = await client.answer(id);
		expect(body.equals(Buffer.alloc(50_000, id))).toBe(true);
	}
	// What a stream that is gone would have sent does not count.
	client.say(request(11), request(13));
	await client.heard();
	const sent = client.bodyBytes();
	client.say(reset(11), reset(13), request(15));
	await client.heard();
	client.say(widen(0, 200_000));
	await client.answer(15);
	expect(client.bodyBytes()).toBe(sent + 50_000);
});

test("takes a request that is longer than the windows, padding and all", async () => {
	await using served = await Served.start((stream) => {
		stream.onRequest = (body) => stream.answer(HEADERS, Buffer.from(String(body.length)), TRAILERS);
	});
	const client = await served.greeted();
	client.say(headers(1));
	let connectionBytes = WINDOW_BYTES;
	let streamBytes = WINDOW_BYTES;
	let updates = 0;
	const padded = of("DATA", PADDED, 1, [255, ...Buffer.alloc(16_000, 1), ...Buffer.alloc(255)]);
	for (let i = 0; i < 200; i++) {
		if (Math.min(connectionBytes, streamBytes) < 17_000) {
			await client.heard();
			for (const { type, streamId, payload } of client.frames.slice(2).splice(updates)) {
				updates += 1;
				if (type !== FrameType.WINDOW_UPDATE) continue;
				if (streamId === 0) connectionBytes += payload.readUInt32BE(0);
				else streamBytes += payload.readUInt32BE(0);
			}
		}
		connectionBytes -= padded.length - 9;
		streamBytes -= padded.length - 9;
		expect(Math.min(connectionBytes, streamBytes)).toBeGreaterThanOrEqual(0);
		client.say(padded);
	}
	client.say(data(1, "", END_STREAM));
	await isAnswered(client, 1, String(200 * 16_000));
});

test("data for streams that are gone opens the connection's window all the same", async () => {
	await using served = await Served.start();
	const client = await served.greeted();
	client.say(headers(1), reset(1), ...Array.from({ length: 100 }, () => data(1, Buffer.alloc(16_384))));
	await client.heard();
	const opened = client.frames
		.slice(2)
		.filter(({ type, streamId }) => type === FrameType.WINDOW_UPDATE && streamId === 0)
		.reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
	expect(opened).toBeGreaterThan(100 * 16_384 - WINDOW_BYTES / 2 - 1);
});

test("a stream that does not take more is reset when its window is used up", async () => {
	let tooLong = 0;
	await using served = await Served.start((stream) => {
		stream.bodyBytesMax = 10;
		stream.onTooLong = () => (tooLong += 1);
	});
	const client = await served.greeted();
	client.say(headers(1), ...Array.from({ length: 70 }, () => data(1, Buffer.alloc(16_384))), request(3));
	await client.heard();
	expect(tooLong).toBe(64);
	expect(client.resetOf(1)).toBe(FLOW_CONTROL_ERROR);
	expect(served.broken).toEqual([]);
});

test("an answer before the request's end is whole, and tells that the rest is not wanted", async () => {
	await using served = await Served.start((stream) => {
		stream.bodyBytesMax = 4;
		stream.onTooLong = () => stream.respond(HEADERS, { end: true });
	});
	const client = await served.greeted();
	client.say(
		headers(1),
		data(1, "12345"),
		data(1, "6", END_STREAM),
		headers(3),
		data(3, "12345", END_STREAM),
	);
	await client.answer(3);
	const kinds = (id: number): number[][] =>
		client.frames.filter(({ streamId }) => streamId === id).map(({ type, flags }) => [type, flags]);
	expect(kinds(1)).toEqual([
		[FrameType.HEADERS, END_HEADERS | END_STREAM],
		[FrameType.RST_STREAM, 0],
	]);
	expect(client.resetOf(1)).toBe(ErrorCode.NO_ERROR);
	expect(kinds(3)).toEqual([[FrameType.HEADERS, END_HEADERS | END_STREAM]]);
	expect(served.broken).toEqual([]);
});

test("an answer to a request without a body, given before it is handed over, is all that is sent", async () => {
	await using served = await Served.start((stream) => {
		stream.onRequest = () => expect.fail("it was answered already");
		stream.respond(HEADERS, { end: true });
	});
	const client = await served.greeted();
	client.say(headers(1, END_HEADERS | END_STREAM));
	await client.answer(1);
	await client.heard();
	expect(client.resetOf(1)).toBeUndefined();
});

test("requests that are never finished are held only so far", async () => {
	await using served = await Served.start(keep, { unreadBytesMax: 100_000 });
	const large = await served.greeted();
	large.say(...[1, 3, 5, 7, 9, 11, 13].flatMap((id) => [headers(id), data(id, Buffer.alloc(16_000))]));
	expect(await large.closedWith()).toBe(ENHANCE_YOUR_CALM);
	// A part takes memory however small it is.
	const small = await served.greeted();
	small.say(headers(1), ...Array.from({ length: 1000 }, () => data(1, "x")));
	expect(await small.closedWith()).toBe(ENHANCE_YOUR_CALM);
	const good = await served.greeted();
	for (let id = 1; id < 41; id += 2) {
		good.say(request(id, Buffer.alloc(16_000)));
		await good.heard();
	}
	expect(served.broken).toHaveLength(2);
});

test("is cut into frames wherever it is split", async () => {
	await using served = await Served.start();
	const client = await served.connect();
	const split = async (bytes: Buffer, at: number): Promise<void> => {
		client.say(bytes.subarray(0, at));
		await turn();
		await turn();
		client.say(bytes.subarray(at));
	};
	for (const byte of Buffer.concat([PREFACE, of("SETTINGS", 0, 0, [])])) {
		client.say(Buffer.of(byte));
		await turn();
		await turn();
	}
	const { length } = request(1, "a body");
	for (let at = 1; at < length; at++) {
		await split(request(2 * at + 1, "a body"), at);
		await isAnswered(client, 2 * at + 1, "a body");
	}
	expect(served.broken).toEqual([]);
});

test("all that comes of a read goes out in one write", async () => {
	await using served = await Served.start();
	const client = await served.greeted();
	let reads = 0;
	client.socket.on("data", () => {
		reads += 1;
	});
	client.say(request(1, "one"), request(3, "two"), request(5, "three"));
	await client.answer(5);
	expect(reads).toBe(1);
});

test("drains: says so, answers what is under way, refuses what comes then, and ends", async () => {
	await using served = await Served.start(keep);
	const client = await served.greeted();
	client.say(request(1), headers(3), headers(5, 0, []));
	await turn();
	await vi.waitFor(() => expect(served.streams).toHaveLength(2));
	served.connections[0]?.drain();
	served.connections[0]?.drain();
	// The block of stream 5 had begun.
	client.say(
		of("CONTINUATION", END_HEADERS, 5, block),
		data(5, "x", END_STREAM),
		request(7),
		data(3, "a", END_STREAM),
	);
	await client.heard();
	const goaways = client.frames.filter(({ type }) => type === FrameType.GOAWAY);
	expect(goaways.map(({ payload }) => payload)).toEqual([uint32(3, ErrorCode.NO_ERROR)]);
	expect([5, 7].map((id) => client.resetOf(id))).toEqual([
		ErrorCode.REFUSED_STREAM,
		ErrorCode.REFUSED_STREAM,
	]);
	served.streams[1]?.answer(HEADERS, Buffer.from("three"), TRAILERS);
	await isAnswered(client, 3, "three");
	expect(client.isClosed).toBe(false);
	served.streams[0]?.answer(HEADERS, Buffer.from("one"), TRAILERS);
	await isAnswered(client, 1, "one");
	expect(await client.closedWith()).toBe(ErrorCode.NO_ERROR);
	expect(served.streams).toHaveLength(2);
	expect(served.broken).toEqual([]);
	await vi.waitFor(() => expect(served.closed).toBe(1));
});

test.each<[string, (stream: ServerStream, drain: () => void) => void]>([
	["before its answer", (stream, drain) => [drain(), stream.answer(HEADERS, Buffer.from("x"), TRAILERS)]],
	["after its answer", (stream, drain) => [stream.answer(HEADERS, Buffer.from("x"), TRAILERS), drain()]],
	[
		"between its parts",
		(stream, drain) => [
			stream.respond(HEADERS),
			stream.write(Buffer.from("x")),
			drain(),
			stream.end(TRAILERS),
		],
	],
])("a request that drains its connection %s is answered", async (_, serve) => {
	await using served: Served = await Served.start((stream) => {
		stream.onRequest = () => serve(stream, () => served.connections[0]?.drain());
	});
	const client = await served.greeted();
	client.say(request(1), request(3));
	expect(await client.closedWith()).toBe(ErrorCode.NO_ERROR);
	await isAnswered(client, 1, "x");
	expect(served.streams).toHaveLength(1);
	expect(served.broken).toEqual([]);
});

test("drains a connection that has said nothing yet", async () => {
	await using served = await Served.start();
	const client = await served.connect();
	await vi.waitFor(() => expect(served.connections).toHaveLength(1));
	served.connections[0]?.drain();
	expect(await client.closedWith()).toBe(ErrorCode.NO_ERROR);
});

test("tells streams when their connection is gone, and leaves nothing on its socket", async () => {
	const lost: number[] = [];
	await using served = await Served.start((stream) => {
		stream.onLost = () => lost.push(stream.id);
		stream.onRequest = () => stream.write(Buffer.alloc(100_000));
	});
	const client = await served.greeted();
	const [socket] = served.sockets;
	const listeners = (): number =>
		(socket?.eventNames() ?? []).reduce((sum, name) => sum + (socket?.listenerCount(name) ?? 0), 0);
	const before = listeners();
	client.say(headers(1), request(3), request(5));
	await client.heard();
	const waited = served.streams[1]?.writable();
	expect(listeners()).toBe(before);
	client.socket.destroy();
	await waited;
	await vi.waitFor(() => expect(lost).toEqual([1, 3, 5]));
	expect(served.closed).toBe(1);
	// What a method says then is said to nobody.
	for (const stream of served.streams) stream.answer(HEADERS, Buffer.from("late"), TRAILERS);
});

test("streams wait for a client that does not read, and go on when it does", async () => {
	const MESSAGE_BYTES = 20_000;
	let written = 0;
	const serve = async (stream: ServerStream): Promise<void> => {
		stream.respond(HEADERS);
		for (let i = 0; i < 30; i++) {
			written += 1;
			if (!stream.write(Buffer.alloc(MESSAGE_BYTES, i))) await stream.writable();
		}
		stream.end(TRAILERS);
	};
	await using served = await Served.start((stream) => {
		stream.onRequest = () => void serve(stream);
	});
	const client = await served.greeted([INITIAL_WINDOW_SIZE, 2 ** 31 - 1]);
	client.say(widen(0, 2 ** 31 - 65_536));
	await client.heard();
	client.socket.pause();
	const ids = Array.from({ length: 20 }, (_, i) => 2 * i + 1);
	client.say(...ids.map((id) => request(id)));
	await vi.waitFor(() => expect(served.streams).toHaveLength(20));
	let before = -1;
	await vi.waitFor(() => {
		const isStill = written === before;
		before = written;
		expect(isStill).toBe(true);
	});
	expect(written).toBeLessThan(20 * 30);
	// Of each stream a message waits, and what of one read is kept together.
	expect(served.sockets[0]?.writableLength).toBeLessThan(20 * (MESSAGE_BYTES + 100) + 2 * 65_536);
	client.socket.resume();
	for (const id of ids) expect((await client.answer(id)).body).toHaveLength(30 * MESSAGE_BYTES);
});

test.each<[string, Uint8Array]>([
	["pings", of("PING", 0, 0, Buffer.alloc(8))],
	["settings", of("SETTINGS", 0, 0, [])],
])("a client that sends %s and never reads is cut off", async (_, frame) => {
	await using served = await Served.start(echo, { unreadBytesMax: 1000 });
	const client = await served.greeted();
	client.socket.pause();
	const many = Buffer.concat(Array.from({ length: 10_000 }, () => frame));
	while (served.closed === 0) {
		if (client.socket.writableLength < many.length) client.say(many);
		await turn();
		expect(served.sockets[0]?.writableLength).toBeLessThan(2 << 20);
	}
	expect(served.broken).toEqual(["the other side does not read what it is sent"]);
	expect(served.sockets[0]?.destroyed).toBe(true);
});

test("a client that opens streams and resets them at once does no harm", async () => {
	let lost = 0;
	let asked = 0;
	await using served = await Served.start((stream) => {
		stream.onLost = () => (lost += 1);
		stream.onRequest = () => (asked += 1);
	});
	const client = await served.greeted();
	for (let id = 1; id < 20_000; id += 2) {
		client.say(headers(id, id % 4 === 1 ? END_HEADERS : END_HEADERS | END_STREAM), reset(id));
		if (id % 1000 === 1) await client.heard();
	}
	await client.heard();
	expect([lost, asked]).toEqual([10_000, 5000]);
	const other = await served.greeted();
	other.say(request(1));
	await other.heard();
	expect(asked).toBe(5001);
	expect(client.frames.filter(({ type }) => type === FrameType.RST_STREAM)).toEqual([]);
});

test("a callback that throws takes its connection with it, and no other", async () => {
	await using served = await Served.start((stream) => {
		stream.onRequest = (body) => {
			if (String(body) === "bad") throw new Error("a mistake");
			stream.answer(HEADERS, body, TRAILERS);
		};
	});
	const bad = await served.greeted();
	const good = await served.greeted();
	const listeners = process.listeners("uncaughtException");
	process.removeAllListeners("uncaughtException");
	try {
		const thrown = once(process, "uncaughtException");
		bad.say(request(1, "bad"), request(3, "after"));
		expect(String((await thrown)[0])).toBe("Error: a mistake");
	} finally {
		for (const listener of listeners) process.on("uncaughtException", listener);
	}
	await bad.closedWith();
	good.say(request(1, "good"));
	await isAnswered(good, 1, "good");
});
