/**
 * A gRPC server on node:http2, for calls of one request: unary ones and those that answer with a stream.
 *
 * It is this small because that is all containerd asks of a plugin, and because a call's way through it is most of what a
 * quick call costs (docs/decisions/0009-own-grpc-server.md).
 */
import http2 from "node:http2";
import type net from "node:net";
import type { Logger } from "../log.ts";
import { type GrpcOutcome, GrpcRefusal, GrpcStatus } from "./status.ts";
import { encodeMessage, frame, timeoutMs, unframe } from "./wire.ts";

/** Answers with messages, in bytes; what it throws is for `GrpcServerOptions.outcomeOf`. */
export type GrpcMethod = (
	request: Uint8Array,
	signal: AbortSignal,
) => Promise<Uint8Array> | AsyncIterable<Uint8Array>;

export interface GrpcServerOptions {
	/** Longer requests are refused. */
	readonly messageBytesMax: number;
	/** The status of a call whose method threw. */
	readonly outcomeOf: (error: unknown) => GrpcOutcome;
	readonly log: Logger;
}

const CONTENT_TYPE = "application/grpc";
const OK_TRAILERS: http2.OutgoingHttpHeaders = { "grpc-status": "0" };
/** Messages of some megabytes come without a round trip for every 64 KiB. */
const WINDOW_BYTES = 1 << 20;

export class GrpcServer {
	readonly #options: GrpcServerOptions;
	readonly #methods = new Map<string, GrpcMethod>();
	readonly #http: http2.Http2Server;
	readonly #sessions = new Set<http2.ServerHttp2Session>();
	#closing = false;

	constructor(options: GrpcServerOptions) {
		this.#options = options;
		// A session's memory holds what is sent and not yet taken: a few of the largest messages.
		const maxSessionMemory = Math.ceil((4 * options.messageBytesMax) / 1e6);
		this.#http = http2.createServer({ maxSessionMemory, settings: { initialWindowSize: WINDOW_BYTES } });
		this.#http.on("session", (session) => {
			this.#sessions.add(session);
			session.once("close", () => this.#sessions.delete(session));
			if (this.#closing) session.close();
		});
		this.#http.on("stream", (stream, headers) => this.#serve(stream, headers));
		// Whoever connects and does not speak HTTP/2 has its connection ended, and that is all.
		this.#http.on("sessionError", (error) => options.log.debug({ err: error }, "a connection broke"));
	}

	/** To be listened with. */
	get listener(): net.Server {
		return this.#http;
	}

	/** Serves calls to `path`, which is `/<service>/<method>`. */
	add(path: string, method: GrpcMethod): void {
		this.#methods.set(path, method);
	}

	/** Takes no more calls, waits for those under way, and cuts off what is still there after `drainMs`. */
	async close(drainMs: number): Promise<{ cutOff: number }> {
		this.#closing = true;
		let cutOff = 0;
		const ended = new Promise<void>((resolve) => this.#http.close(() => resolve()));
		for (const session of this.#sessions) session.close();
		const timer = setTimeout(() => {
			cutOff = this.#sessions.size;
			for (const session of this.#sessions) session.destroy();
		}, drainMs);
		await ended;
		clearTimeout(timer);
		return { cutOff };
	}

	#serve(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders): void {
		// A client that went away: its call's signal has told the method.
		stream.on("error", (error) => this.#options.log.debug({ err: error }, "a call broke"));
		if (headers[":method"] !== "POST" || headers["content-type"]?.startsWith(CONTENT_TYPE) !== true) {
			stream.respond({ ":status": 415 }, { endStream: true });
			return;
		}
		let call: Call;
		try {
			call = new Call(stream, headers["grpc-timeout"]);
		} catch (error) {
			fail(stream, this.#outcomeOf(error));
			return;
		}
		const chunks: Buffer[] = [];
		let receivedBytes = 0;
		stream.on("data", (chunk: Buffer) => {
			receivedBytes += chunk.length;
			if (receivedBytes <= this.#options.messageBytesMax) chunks.push(chunk);
			else if (!call.ended) {
				const most = `messages may have ${this.#options.messageBytesMax} bytes`;
				call.end(() => fail(stream, { code: GrpcStatus.RESOURCE_EXHAUSTED, message: most }));
			}
		});
		stream.on("end", () => {
			if (!call.ended) void this.#answer(call, String(headers[":path"]), chunks);
		});
	}

	async #answer(call: Call, path: string, chunks: readonly Buffer[]): Promise<void> {
		const { stream, signal } = call;
		try {
			const method = this.#methods.get(path);
			if (method === undefined) {
				throw new GrpcRefusal(GrpcStatus.UNIMPLEMENTED, `there is no ${path} here`);
			}
			const answer = method(unframe(chunks), signal);
			if (Symbol.asyncIterator in answer) {
				for await (const message of answer) {
					if (call.ended) return;
					begin(stream);
					if (!stream.write(frame(message))) await call.writable();
				}
				call.end(() => {
					begin(stream);
					stream.end();
				});
			} else {
				const message = await answer;
				call.end(() => {
					begin(stream);
					stream.end(frame(message));
				});
			}
		} catch (error) {
			const outcome = this.#outcomeOf(error);
			call.end(() => fail(stream, outcome));
		}
	}

	#outcomeOf(error: unknown): GrpcOutcome {
		return error instanceof GrpcRefusal ? error : this.#options.outcomeOf(error);
	}
}

/** A call under way: it ends once, by its answer, its deadline, or its client. */
class Call {
	readonly stream: http2.ServerHttp2Stream;
	readonly #abort = new AbortController();
	readonly #deadline: NodeJS.Timeout | undefined;
	#ended = false;

	constructor(stream: http2.ServerHttp2Stream, timeout: string | string[] | undefined) {
		this.stream = stream;
		if (timeout !== undefined) {
			this.#deadline = setTimeout(
				() => {
					this.end(() =>
						fail(stream, { code: GrpcStatus.DEADLINE_EXCEEDED, message: "the call's deadline is over" }),
					);
					this.#abort.abort();
				},
				timeoutMs(String(timeout)),
			);
		}
		stream.once("close", () => {
			// Of an answered call nobody listens to the signal any more.
			this.end(() => this.#abort.abort());
		});
	}

	get signal(): AbortSignal {
		return this.#abort.signal;
	}

	get ended(): boolean {
		return this.#ended;
	}

	/** Does `how` unless the call has ended before. */
	end(how: () => void): void {
		if (this.#ended) return;
		this.#ended = true;
		clearTimeout(this.#deadline);
		how();
	}

	/** Resolves when more can be sent, or nothing ever. */
	writable(): Promise<void> {
		const { stream } = this;
		return new Promise((resolve) => {
			const done = (): void => {
				stream.off("drain", done).off("close", done);
				resolve();
			};
			stream.on("drain", done).on("close", done);
		});
	}
}

/** The headers of an answer that ends well, unless they are sent already. */
function begin(stream: http2.ServerHttp2Stream): void {
	if (stream.headersSent) return;
	stream.once("wantTrailers", () => stream.sendTrailers(OK_TRAILERS));
	stream.respond({ ":status": 200, "content-type": CONTENT_TYPE }, { waitForTrailers: true });
}

function fail(stream: http2.ServerHttp2Stream, { code, message }: GrpcOutcome): void {
	const trailers = { "grpc-status": String(code), "grpc-message": encodeMessage(message) };
	if (stream.headersSent) {
		stream.removeAllListeners("wantTrailers");
		stream.once("wantTrailers", () => stream.sendTrailers(trailers));
		stream.end();
	} else {
		stream.respond({ ":status": 200, "content-type": CONTENT_TYPE, ...trailers }, { endStream: true });
	}
	// What the client still sends is of no interest; without this its window would stay closed.
	stream.resume();
}
