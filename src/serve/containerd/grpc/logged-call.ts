/** One call from its start to its answer: the signal that ends it early, and what the log tells of it. */
import type { Message } from "@bufbuild/protobuf";
import type { ServerUnaryCall, ServerWritableStream } from "@grpc/grpc-js";
import type { Logger } from "../../log.ts";
import { isCallersFault } from "./status.ts";

type ServerCall = ServerUnaryCall<Message, Message> | ServerWritableStream<Message, Message>;

export class LoggedCall {
	readonly request: Message;
	readonly #name: string;
	readonly #log: Logger;
	readonly #startMs = performance.now();
	readonly #abort = new AbortController();
	#ended = false;

	constructor(name: string, call: ServerCall, log: Logger) {
		this.#name = name;
		this.request = call.request;
		this.#log = log;
		// grpc-js says so at the end of every call, answered or not.
		call.on("cancelled", () => {
			if (!this.#ended) this.#abort.abort();
		});
	}

	get signal(): AbortSignal {
		return this.#abort.signal;
	}

	answered(): void {
		this.#ended = true;
		if (this.#log.isLevelEnabled("debug")) this.#log.debug(this.#fields(), "answered");
	}

	failed(error: unknown): void {
		this.#ended = true;
		const fields = { ...this.#fields(), err: error };
		if (this.signal.aborted) this.#log.debug(fields, "given up");
		else if (isCallersFault(error)) this.#log.debug(fields, "refused");
		else this.#log.error(fields, "failed");
	}

	/** With those fields of the request that a log line is looked for by. */
	#fields(): Record<string, unknown> {
		const { key, name, parent } = this.request as { key?: string; name?: string; parent?: string };
		return { call: this.#name, key, name, parent, durationMs: performance.now() - this.#startMs };
	}
}
