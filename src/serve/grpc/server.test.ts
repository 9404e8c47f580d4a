import fs from "node:fs";
import http2 from "node:http2";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { createLogger } from "../log.ts";
import { type GrpcMethod, GrpcServer, GrpcStatus } from "./index.ts";
import { encodeMessage, frame, timeoutMs, unframe } from "./wire.ts";

const MESSAGE_BYTES_MAX = 1 << 20;

/** Methods to call, behind a socket. */
class Served implements AsyncDisposable {
	readonly directory: string = fs.mkdtempSync(path.join(os.tmpdir(), "lamella-"));
	readonly socket: string = path.join(this.directory, "grpc.sock");
	readonly server: GrpcServer = new GrpcServer({
		messageBytesMax: MESSAGE_BYTES_MAX,
		outcomeOf: (error) => ({ code: GrpcStatus.NOT_FOUND, message: String(error) }),
		log: createLogger("silent"),
	});
	readonly #clients: Client[] = [];

	static async start(methods: Readonly<Record<string, GrpcMethod>>): Promise<Served> {
		const served = new Served();
		for (const [name, method] of Object.entries(methods)) served.server.add(`/test/${name}`, method);
		await new Promise<void>((resolve) => served.server.listener.listen(served.socket, resolve));
		return served;
	}

	client(): Client {
		const options = { "grpc.default_authority": "localhost", "grpc.max_send_message_length": -1 };
		const client = new Client(`unix:${this.socket}`, credentials.createInsecure(), options);
		this.#clients.push(client);
		return client;
	}

	connect(): http2.ClientHttp2Session {
		return http2.connect("http://localhost", { createConnection: () => net.connect(this.socket) });
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const client of this.#clients) client.close();
		await this.server.close(1000);
		fs.rmSync(this.directory, { recursive: true, force: true });
	}
}

const plain = (bytes: Buffer): Buffer => bytes;

function call(client: Client, name: string, request: Buffer, deadlineMs?: number): Promise<Buffer> {
	const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
	return new Promise((resolve, reject) => {
		client.makeUnaryRequest(`/test/${name}`, plain, plain, request, options, (error, answer) => {
			if (error !== null) reject(error);
			else resolve(answer as Buffer);
		});
	});
}

async function failure(promise: Promise<unknown>): Promise<ServiceError> {
	const error: unknown = await promise.then(
		() => new Error("it was answered"),
		(reason: unknown) => reason,
	);
	return error as ServiceError;
}

/** What the server sends on one HTTP/2 stream. */
async function exchange(
	session: http2.ClientHttp2Session,
	headers: http2.OutgoingHttpHeaders,
	body: Buffer,
): Promise<http2.IncomingHttpHeaders> {
	const stream = session.request(headers);
	const seen: http2.IncomingHttpHeaders = {};
	stream.on("response", (sent) => Object.assign(seen, sent));
	stream.on("trailers", (sent) => Object.assign(seen, sent));
	stream.resume();
	stream.end(body);
	await new Promise((resolve) => stream.once("close", resolve));
	return seen;
}

const POST = { ":method": "POST", ":path": "/test/echo", "content-type": "application/grpc", te: "trailers" };
const echo: GrpcMethod = async (request) => request;

test("answers a call with bytes, however many", async () => {
	await using served = await Served.start({ echo });
	const client = served.client();
	for (const length of [0, 1, 70_000, MESSAGE_BYTES_MAX - 5]) {
		const request = Buffer.alloc(length, "x");
		expect((await call(client, "echo", request)).equals(request)).toBe(true);
	}
});

test("serves many calls at once on one connection", async () => {
	await using served = await Served.start({
		late: async (request) => {
			await sleep(5);
			return request;
		},
	});
	const client = served.client();
	const answers = await Promise.all(
		Array.from({ length: 300 }, (_, i) => call(client, "late", Buffer.from(String(i)))),
	);
	expect(answers.map(String)).toEqual(Array.from({ length: 300 }, (_, i) => String(i)));
});

test("streams answers that are longer than the connection's window", async () => {
	await using served = await Served.start({
		many: async function* () {
			for (let i = 0; i < 40; i++) yield Buffer.alloc(200_000, i);
		},
		none: async function* () {},
	});
	const client = served.client();
	const received: number[] = [];
	const stream = client.makeServerStreamRequest("/test/many", plain, plain, Buffer.alloc(0));
	for await (const message of stream) {
		const bytes = message as Buffer;
		expect(bytes.length).toBe(200_000);
		received.push(bytes[0] ?? -1);
	}
	expect(received).toEqual(Array.from({ length: 40 }, (_, i) => i));
	const empty = client.makeServerStreamRequest("/test/none", plain, plain, Buffer.alloc(0));
	for await (const _ of empty) throw new Error("a message came");
});

test("passes on a failure with its code and a message in any script", async () => {
	const told = "naïve 100% ☃\nsecond line";
	await using served = await Served.start({
		fails: () => Promise.reject(told),
		breaks: async function* () {
			yield Buffer.from("first");
			throw told;
		},
	});
	const client = served.client();
	const error = await failure(call(client, "fails", Buffer.alloc(0)));
	expect(error).toMatchObject({ code: GrpcStatus.NOT_FOUND, details: told });
	const messages: string[] = [];
	const broken = (async () => {
		const stream = client.makeServerStreamRequest("/test/breaks", plain, plain, Buffer.alloc(0));
		for await (const message of stream) messages.push(String(message));
	})();
	expect(await failure(broken)).toMatchObject({ code: GrpcStatus.NOT_FOUND, details: told });
	expect(messages).toEqual(["first"]);
});

test("passes on a message that is too long for a frame of headers", async () => {
	const told = "☃".repeat(3900);
	await using served = await Served.start({ echo, fails: () => Promise.reject(told) });
	const session = served.connect();
	try {
		const answer = await exchange(session, { ...POST, ":path": "/test/fails" }, frame(Buffer.alloc(0)));
		expect(decodeURIComponent(String(answer["grpc-message"]))).toBe(told);
		expect(await exchange(session, POST, frame(Buffer.alloc(0)))).toMatchObject({ "grpc-status": "0" });
	} finally {
		session.destroy();
	}
	const client = served.client();
	expect(await failure(call(client, "fails", Buffer.alloc(0)))).toMatchObject({ details: told });
});

test("answers calls from a client that gives up on every second one", async () => {
	await using served = await Served.start({
		late: async (request) => {
			await sleep(1);
			return request;
		},
	});
	const client = served.client();
	const answers = Array.from({ length: 400 }, (_, i) => {
		const request = Buffer.from(String(i));
		if (i % 2 === 0) return call(client, "late", request).then(String);
		return new Promise<string>((resolve) => {
			const given = client.makeUnaryRequest("/test/late", plain, plain, request, () => resolve("gave up"));
			// By then some are on their way.
			setImmediate(() => given.cancel());
		});
	});
	expect(await Promise.all(answers)).toEqual(
		Array.from({ length: 400 }, (_, i) => (i % 2 === 0 ? String(i) : "gave up")),
	);
});

test("refuses what it does not serve, and what is too long", async () => {
	await using served = await Served.start({ echo });
	const client = served.client();
	expect((await failure(call(client, "other", Buffer.alloc(0)))).code).toBe(GrpcStatus.UNIMPLEMENTED);
	const long = Buffer.alloc(MESSAGE_BYTES_MAX + 1);
	expect((await failure(call(client, "echo", long))).code).toBe(GrpcStatus.RESOURCE_EXHAUSTED);
	expect(String(await call(client, "echo", Buffer.from("still there")))).toBe("still there");
});

test("tells the method when its client gives up, and the client when its deadline is over", async () => {
	const aborted: string[] = [];
	let began: () => void = () => undefined;
	const hasBegun = new Promise<void>((resolve) => {
		began = resolve;
	});
	const waits: GrpcMethod = (request, { signal }) =>
		new Promise((_resolve, reject) => {
			signal.addEventListener("abort", () => {
				aborted.push(String(request));
				reject(new Error("gave up"));
			});
			began();
		});
	await using served = await Served.start({ waits });
	const client = served.client();
	const late = await failure(call(client, "waits", Buffer.from("deadline"), 60));
	expect(late.code).toBe(GrpcStatus.DEADLINE_EXCEEDED);
	const cancelled = client.makeUnaryRequest(
		"/test/waits",
		plain,
		plain,
		Buffer.from("cancel"),
		() => undefined,
	);
	await hasBegun;
	await sleep(30);
	cancelled.cancel();
	await vi.waitFor(() => expect(aborted.sort()).toEqual(["cancel", "deadline"]));
});

test("does not abort the signal of a call that was answered", async () => {
	let kept: AbortSignal | undefined;
	await using served = await Served.start({
		keeps: async (request, { signal }) => {
			kept = signal;
			return request;
		},
	});
	const client = served.client();
	await call(client, "keeps", Buffer.alloc(0));
	await call(client, "keeps", Buffer.alloc(0), 10_000);
	await sleep(20);
	expect(kept?.aborted).toBe(false);
});

test("survives clients that do not keep to the protocol", async () => {
	await using served = await Served.start({ echo });
	// HTTP/1, noise, and a connection that says nothing.
	for (const said of ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x00\x01\x02noise", ""]) {
		const socket = net.connect(served.socket);
		socket.on("error", () => undefined);
		await new Promise((resolve) => socket.write(said, resolve));
		await sleep(10);
		socket.destroy();
	}
	const session = served.connect();
	try {
		const message = frame(Buffer.from("hello"));
		expect(await exchange(session, POST, message)).toMatchObject({ ":status": 200, "grpc-status": "0" });
		const compressed = Buffer.from(message);
		compressed[0] = 1;
		const INTERNAL = String(GrpcStatus.INTERNAL);
		for (const [body, status] of [
			[Buffer.alloc(0), INTERNAL],
			[message.subarray(0, 7), INTERNAL],
			[Buffer.concat([message, message]), INTERNAL],
			[compressed, String(GrpcStatus.UNIMPLEMENTED)],
		] as const) {
			expect(await exchange(session, POST, body)).toMatchObject({ "grpc-status": status });
		}
		expect(await exchange(session, { ...POST, "grpc-timeout": "soon" }, message)).toMatchObject({
			"grpc-status": INTERNAL,
		});
		expect(await exchange(session, { ...POST, ":method": "PUT" }, message)).toMatchObject({ ":status": 415 });
		expect(await exchange(session, { ...POST, "content-type": "text/plain" }, message)).toMatchObject({
			":status": 415,
		});
		// Half a request, then gone.
		const half = session.request(POST);
		half.on("error", () => undefined);
		half.write(message.subarray(0, 3));
		await sleep(10);
		half.close(http2.constants.NGHTTP2_CANCEL);
		expect(await exchange(session, POST, message)).toMatchObject({ "grpc-status": "0" });
	} finally {
		session.destroy();
	}
});

test("drains: calls under way are answered, new ones are not taken, late ones are cut off", async () => {
	let release: () => void = () => undefined;
	const waits: GrpcMethod = (request) =>
		new Promise((resolve) => {
			release = () => resolve(request);
		});
	await using served = await Served.start({ waits });
	const client = served.client();
	const underWay = call(client, "waits", Buffer.from("answer"));
	await sleep(50);
	const closing = served.server.close(5000);
	await sleep(20);
	release();
	expect(String(await underWay)).toBe("answer");
	expect(await closing).toEqual({ cutOff: 0 });
	expect((await failure(call(client, "waits", Buffer.alloc(0)))).code).toBe(GrpcStatus.UNAVAILABLE);

	await using stuck = await Served.start({ waits });
	const lost = failure(call(stuck.client(), "waits", Buffer.alloc(0)));
	await sleep(50);
	expect(await stuck.server.close(50)).toEqual({ cutOff: 1 });
	expect((await lost).code).toBe(GrpcStatus.UNAVAILABLE);
});

test("a framed message is read back", () => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 100 }), (message) => unframe(frame(message)).equals(message)),
	);
});

test("a status message comes back from its percent form", () => {
	fc.assert(
		fc.property(fc.string({ unit: "binary" }), (message) => {
			const encoded = encodeMessage(message);
			return /^[ -~]*$/.test(encoded) && decodeURIComponent(encoded) === Buffer.from(message).toString();
		}),
	);
});

test.each([
	["1H", 3_600_000],
	["20m", 20],
	["1500u", 2],
	["99999999H", 2 ** 31 - 1],
])("understands the timeout %s", (header, ms) => {
	expect(timeoutMs(header)).toBe(ms);
});
