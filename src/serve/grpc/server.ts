/**
 * A gRPC server on a unix socket, for calls of one request: unary ones and those that answer with a stream.
 *
 * It is this small because that is all containerd asks of a plugin, and because a call's way through it is most of what a
 * quick call costs (docs/decisions/0009-own-grpc-server.md).
 */
import net from "node:net";
import { encodeHeaders, ServerConnection, type ServerStream } from "../http2/index.ts";
import type { Logger } from "../log.ts";
import { type GrpcOutcome, GrpcRefusal, GrpcStatus } from "./status.ts";
import { encodeMessage, frame, timeoutMs, unframe } from "./wire.ts";

/** A call under way, as its method sees it. */
export interface GrpcCall {
	/** Fires when the client gives up, or the call's deadline is over. */
	readonly signal: AbortSignal;
}

/** Answers with messages, in bytes; what it throws is for `GrpcServerOptions.outcomeOf`. */
export type GrpcMethod = (
	request: Uint8Array,
	call: GrpcCall,
) => Promise<Uint8Array> | AsyncIterable<Uint8Array>;

export interface GrpcServerOptions {
	/** Longer requests are refused. */
	readonly messageBytesMax: number;
	/** The status of a call whose method threw. */
	readonly outcomeOf: (error: unknown) => GrpcOutcome;
	readonly log: Logger;
}

const CONTENT_TYPE = "application/grpc";
const HEADERS = encodeHeaders([
	[":status", "200"],
	["content-type", CONTENT_TYPE],
]);
const OK_TRAILERS = encodeHeaders([["grpc-status", "0"]]);
const UNSUPPORTED_MEDIA_TYPE = encodeHeaders([[":status", "415"]]);
/** A connection holds a few of the largest requests that have not all come. */
const UNREAD_MESSAGES_MAX = 4;

export class GrpcServer {
	readonly #options: GrpcServerOptions;
	readonly #methods = new Map<string, GrpcMethod>();
	readonly #connections = new Set<ServerConnection>();
	readonly #listener: net.Server;
	#closing = false;

	constructor(options: GrpcServerOptions) {
		this.#options = options;
		this.#listener = net.createServer((socket) => this.#connect(socket));
	}

	/** To be listened with. */
	get listener(): net.Server {
		return this.#listener;
	}

	/** Serves calls to `path`, which is `/<service>/<method>`. */
	add(path: string, method: GrpcMethod): void {
		this.#methods.set(path, method);
	}

	/** Takes no more calls, waits for those under way, and cuts off what is still there after `drainMs`. */
	async close(drainMs: number): Promise<{ cutOff: number }> {
		this.#closing = true;
		let cutOff = 0;
		const ended = new Promise<void>((resolve) => this.#listener.close(() => resolve()));
		for (const connection of this.#connections) connection.drain();
		const timer = setTimeout(() => {
			cutOff = this.#connections.size;
			for (const connection of this.#connections) connection.destroy();
		}, drainMs);
		await ended;
		clearTimeout(timer);
		return { cutOff };
	}

	#connect(socket: net.Socket): void {
		const { log, messageBytesMax } = this.#options;
		const connection = new ServerConnection(socket, {
			unreadBytesMax: UNREAD_MESSAGES_MAX * messageBytesMax,
			onStream: (stream) => this.#serve(stream),
			// Whoever connects and does not speak HTTP/2 has its connection ended, and that is all.
			onBroken: (error) => log.debug({ err: error }, "a connection broke"),
			onClose: () => this.#connections.delete(connection),
		});
		this.#connections.add(connection);
		if (this.#closing) connection.drain();
	}

	#serve(stream: ServerStream): void {
		const { headers } = stream;
		if (headers.get(":method") !== "POST" || headers.get("content-type")?.startsWith(CONTENT_TYPE) !== true) {
			stream.respond(UNSUPPORTED_MEDIA_TYPE, { end: true });
			return;
		}
		let call: Call;
		try {
			call = new Call(stream);
		} catch (error) {
			fail(stream, this.#outcomeOf(error));
			return;
		}
		stream.bodyBytesMax = this.#options.messageBytesMax;
		stream.onTooLong = () => {
			const most = `messages may have ${this.#options.messageBytesMax} bytes`;
			call.fail({ code: GrpcStatus.RESOURCE_EXHAUSTED, message: most });
		};
		stream.onRequest = (body) => void this.#answer(call, headers.get(":path") ?? "", body);
	}

	async #answer(call: Call, path: string, body: Buffer): Promise<void> {
		try {
			const method = this.#methods.get(path);
			if (method === undefined) {
				throw new GrpcRefusal(GrpcStatus.UNIMPLEMENTED, `there is no ${path} here`);
			}
			const answer = method(unframe(body), call);
			if (Symbol.asyncIterator in answer) await call.stream(answer);
			else call.answer(await answer);
		} catch (error) {
			call.fail(this.#outcomeOf(error));
		}
	}

	#outcomeOf(error: unknown): GrpcOutcome {
		return error instanceof GrpcRefusal ? error : this.#options.outcomeOf(error);
	}
}

/** A call under way: it ends once, by its answer, its deadline, or its client. */
class Call implements GrpcCall {
	readonly #stream: ServerStream;
	readonly #deadline: NodeJS.Timeout | undefined;
	/** Made when somebody asks for it: most calls are over before. */
	#abort: AbortController | undefined;
	#hasBegun = false;
	#ended = false;
	#gaveUp = false;

	/** @throws {GrpcRefusal} where the deadline makes no sense */
	constructor(stream: ServerStream) {
		this.#stream = stream;
		const timeout = stream.headers.get("grpc-timeout");
		if (timeout !== undefined) {
			this.#deadline = setTimeout(() => {
				this.fail({ code: GrpcStatus.DEADLINE_EXCEEDED, message: "the call's deadline is over" });
				this.#giveUp();
			}, timeoutMs(timeout));
		}
		stream.onLost = () => {
			// Of an answered call nobody listens to the signal any more.
			if (this.#end()) this.#giveUp();
		};
	}

	get signal(): AbortSignal {
		this.#abort ??= new AbortController();
		if (this.#gaveUp) this.#abort.abort();
		return this.#abort.signal;
	}

	answer(message: Uint8Array): void {
		if (this.#end()) this.#stream.answer(HEADERS, frame(message), OK_TRAILERS);
	}

	async stream(messages: AsyncIterable<Uint8Array>): Promise<void> {
		for await (const message of messages) {
			if (this.#ended) return;
			this.#begin();
			if (!this.#stream.write(frame(message))) await this.#stream.writable();
		}
		if (!this.#end()) return;
		this.#begin();
		this.#stream.end(OK_TRAILERS);
	}

	fail(outcome: GrpcOutcome): void {
		if (!this.#end()) return;
		if (this.#hasBegun) this.#stream.end(encodeHeaders(trailersOf(outcome)));
		else fail(this.#stream, outcome);
	}

	#begin(): void {
		if (this.#hasBegun) return;
		this.#hasBegun = true;
		this.#stream.respond(HEADERS);
	}

	/** Whether it had not ended before. */
	#end(): boolean {
		if (this.#ended) return false;
		this.#ended = true;
		clearTimeout(this.#deadline);
		return true;
	}

	#giveUp(): void {
		this.#gaveUp = true;
		this.#abort?.abort();
	}
}

function fail(stream: ServerStream, outcome: GrpcOutcome): void {
	const headers = [[":status", "200"], ["content-type", CONTENT_TYPE], ...trailersOf(outcome)] as const;
	stream.respond(encodeHeaders(headers), { end: true });
}

function trailersOf({ code, message }: GrpcOutcome): [string, string][] {
	return [
		["grpc-status", String(code)],
		["grpc-message", encodeMessage(message)],
	];
}
