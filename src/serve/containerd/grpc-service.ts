/**
 * A gRPC service out of a generated descriptor and one plain function a call: bytes in and out by protobuf-es, errors
 * to statuses, every call logged.
 */

import {
	create,
	type DescMessage,
	type DescMethod,
	type DescMethodServerStreaming,
	type DescMethodUnary,
	type DescService,
	fromBinary,
	type MessageInitShape,
	type MessageShape,
	toBinary,
} from "@bufbuild/protobuf";
import { LamellaError } from "../../errors/index.ts";
import type { GrpcCall, GrpcMethod, GrpcServer } from "../grpc/index.ts";
import type { Logger } from "../log.ts";
import { isCallersFault } from "./status.ts";

type Method<D extends DescMethod> =
	D extends DescMethodUnary<infer I extends DescMessage, infer O extends DescMessage>
		? (request: MessageShape<I>, call: GrpcCall) => Promise<MessageInitShape<O>> | MessageInitShape<O>
		: D extends DescMethodServerStreaming<infer I extends DescMessage, infer O extends DescMessage>
			? (
					request: MessageShape<I>,
					call: GrpcCall,
				) => AsyncIterable<MessageInitShape<O>> | Iterable<MessageInitShape<O>>
			: never;

/** What a service does, by the method names of its descriptor. A call's signal fires when its client gives up. */
export type ServiceMethods<S extends DescService> = {
	readonly [K in keyof S["method"]]: Method<S["method"][K]>;
};

type AnyMethod = (request: unknown, call: GrpcCall) => unknown;
type AnyMessages = AsyncIterable<MessageInitShape<DescMessage>> | Iterable<MessageInitShape<DescMessage>>;

/** Adds the service to a server. */
export function addService<S extends DescService>(
	server: GrpcServer,
	service: S,
	methods: ServiceMethods<S>,
	log: Logger,
): void {
	for (const method of service.methods) {
		const work = (methods as Readonly<Record<string, AnyMethod>>)[method.localName];
		if (work === undefined) continue;
		const serve = method.methodKind === "server_streaming" ? streaming : unary;
		server.add(`/${service.typeName}/${method.name}`, serve(method, work, log));
	}
}

function unary({ name, input, output }: DescMethod, work: AnyMethod, log: Logger): GrpcMethod {
	return async (bytes, grpcCall) => {
		const call = new LoggedCall(name, log);
		try {
			const request = call.read(input, bytes);
			const answer = (await work(request, grpcCall)) as MessageInitShape<typeof output>;
			call.answered();
			return toBinary(output, create(output, answer));
		} catch (error) {
			call.failed(error);
			throw error;
		}
	};
}

function streaming({ name, input, output }: DescMethod, work: AnyMethod, log: Logger): GrpcMethod {
	return async function* (bytes, grpcCall) {
		const call = new LoggedCall(name, log);
		try {
			for await (const message of work(call.read(input, bytes), grpcCall) as AnyMessages) {
				yield toBinary(output, create(output, message));
			}
			call.answered();
		} catch (error) {
			call.failed(error);
			throw error;
		}
	};
}

/** One call, as the log tells of it. */
class LoggedCall {
	readonly #name: string;
	readonly #log: Logger;
	readonly #startMs = performance.now();
	#request: unknown;

	constructor(name: string, log: Logger) {
		this.#name = name;
		this.#log = log;
	}

	/** @throws {LamellaError} `EPROTOCOL` */
	read<D extends DescMessage>(schema: D, bytes: Uint8Array): MessageShape<D> {
		try {
			const request = fromBinary(schema, bytes);
			this.#request = request;
			return request;
		} catch (error) {
			const why = error instanceof Error ? error.message : String(error);
			throw new LamellaError("EPROTOCOL", `${this.#name} came with a malformed request: ${why}`, {
				cause: error,
			});
		}
	}

	answered(): void {
		if (this.#log.isLevelEnabled("debug")) this.#log.debug(this.#fields(), "answered");
	}

	failed(error: unknown): void {
		if (isCallersFault(error)) this.#log.debug({ ...this.#fields(), err: error }, "refused");
		else this.#log.error({ ...this.#fields(), err: error }, "failed");
	}

	/** With those fields of the request that a log line is looked for by. */
	#fields(): Record<string, unknown> {
		const { key, name, parent } = (this.#request ?? {}) as { key?: string; name?: string; parent?: string };
		return { call: this.#name, key, name, parent, durationMs: performance.now() - this.#startMs };
	}
}
