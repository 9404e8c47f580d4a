/**
 * A gRPC service out of a generated descriptor and one plain function a call: bytes in and out by protobuf-es, errors
 * to statuses, every call logged. The transport is grpc-js; it is handed connections of a socket that listen.ts made.
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
import {
	type handleServerStreamingCall,
	type handleUnaryCall,
	type MethodDefinition,
	type Server,
	type ServerUnaryCall,
	type ServerWritableStream,
	type sendUnaryData,
	status,
} from "@grpc/grpc-js";
import type { Logger } from "../log.ts";
import { isCallersFault, statusOf } from "./status.ts";

type Method<D extends DescMethod> =
	D extends DescMethodUnary<infer I extends DescMessage, infer O extends DescMessage>
		? (request: MessageShape<I>, signal: AbortSignal) => Promise<MessageInitShape<O>> | MessageInitShape<O>
		: D extends DescMethodServerStreaming<infer I extends DescMessage, infer O extends DescMessage>
			? (
					request: MessageShape<I>,
					signal: AbortSignal,
				) => AsyncIterable<MessageInitShape<O>> | Iterable<MessageInitShape<O>>
			: never;

/** What a service does, by the method names of its descriptor. A call's signal fires when its client gives up. */
export type ServiceMethods<S extends DescService> = {
	readonly [K in keyof S["method"]]: Method<S["method"][K]>;
};

type AnyMethod = (request: unknown, signal: AbortSignal) => unknown;

/** Counts calls that are under way, for a drained end. */
export interface CallObserver {
	readonly log: Logger;
	readonly onCall?: ((call: string, durationMs: number, code: status) => void) | undefined;
}

/** Adds the service to a server. */
export function addService<S extends DescService>(
	server: Server,
	service: S,
	methods: ServiceMethods<S>,
	observer: CallObserver,
): void {
	const definition: Record<string, MethodDefinition<unknown, unknown>> = {};
	const handlers: Record<
		string,
		handleUnaryCall<unknown, unknown> | handleServerStreamingCall<unknown, unknown>
	> = {};
	for (const method of service.methods) {
		const work = (methods as Readonly<Record<string, AnyMethod>>)[method.localName];
		if (work === undefined) continue;
		definition[method.localName] = methodDefinition(service, method);
		const watched = watch(method.name, work, observer);
		handlers[method.localName] =
			method.methodKind === "server_streaming" ? streaming(method, watched) : unary(method, watched);
	}
	server.addService(definition, handlers);
}

/** How a method's messages become bytes; also for clients. */
export function methodDefinition(
	service: DescService,
	{ name, methodKind, input, output }: DescMethod,
): MethodDefinition<unknown, unknown> {
	const codec = (schema: DescMessage) => ({
		serialize: (message: unknown) => Buffer.from(toBinary(schema, message as MessageShape<typeof schema>)),
		deserialize: (bytes: Buffer): unknown => fromBinary(schema, bytes),
	});
	const request = codec(input);
	const response = codec(output);
	return {
		path: `/${service.typeName}/${name}`,
		requestStream: false,
		responseStream: methodKind === "server_streaming",
		requestSerialize: request.serialize,
		requestDeserialize: request.deserialize,
		responseSerialize: response.serialize,
		responseDeserialize: response.deserialize,
	};
}

type Watched = (request: unknown, call: Cancellable) => Watch;
type Cancellable = ServerUnaryCall<unknown, unknown> | ServerWritableStream<unknown, unknown>;

interface Watch {
	readonly result: unknown;
	failed(error: unknown): ReturnType<typeof statusOf>;
	done(): void;
}

function watch(name: string, work: AnyMethod, { log, onCall }: CallObserver): Watched {
	return (request, call) => {
		const startMs = performance.now();
		const abort = new AbortController();
		call.once("cancelled", () => abort.abort());
		const ended = (code: status, error?: unknown): void => {
			const durationMs = performance.now() - startMs;
			onCall?.(name, durationMs, code);
			if (error === undefined) {
				if (log.isLevelEnabled("debug"))
					log.debug({ call: name, ...namesIn(request), durationMs }, "answered");
			} else if (isCallersFault(error)) {
				log.debug({ call: name, ...namesIn(request), durationMs, err: error }, "refused");
			} else {
				log.error({ call: name, ...namesIn(request), durationMs, err: error }, "failed");
			}
		};
		let result: unknown;
		try {
			result = work(request, abort.signal);
		} catch (error) {
			result = Promise.reject(error);
		}
		return {
			result,
			failed: (error) => {
				const failure = statusOf(error);
				ended(failure.code ?? status.UNKNOWN, error);
				return failure;
			},
			done: () => ended(status.OK),
		};
	};
}

function unary({ output }: DescMethod, watched: Watched): handleUnaryCall<unknown, unknown> {
	return (call: ServerUnaryCall<unknown, unknown>, answer: sendUnaryData<unknown>) => {
		const watching = watched(call.request, call);
		Promise.resolve(watching.result).then(
			(message) => {
				watching.done();
				answer(null, create(output, message as MessageInitShape<typeof output>));
			},
			(error: unknown) => answer(watching.failed(error)),
		);
	};
}

function streaming({ output }: DescMethod, watched: Watched): handleServerStreamingCall<unknown, unknown> {
	return (call) => {
		const watching = watched(call.request, call);
		send(call, output, watching.result as Promise<AsyncIterable<MessageInitShape<typeof output>>>).then(
			() => {
				watching.done();
				call.end();
			},
			(error: unknown) => {
				call.emit("error", watching.failed(error));
			},
		);
	};
}

async function send<O extends DescMessage>(
	call: ServerWritableStream<unknown, unknown>,
	output: O,
	messages: Promise<AsyncIterable<MessageInitShape<O>>>,
): Promise<void> {
	for await (const message of await messages) {
		if (call.cancelled) return;
		if (!call.write(create(output, message))) {
			await new Promise<void>((resolve) => {
				call.once("drain", resolve);
				call.once("cancelled", () => resolve());
				call.once("close", () => resolve());
			});
		}
	}
}

/** The fields of a request that a log line is looked for by. */
function namesIn(request: unknown): Record<string, unknown> {
	const { key, name, parent } = request as { key?: string; name?: string; parent?: string };
	return { key, name, parent };
}
