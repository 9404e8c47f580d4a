/**
 * A gRPC service out of a generated descriptor and one plain function a call: bytes in and out by protobuf-es, errors
 * to statuses, every call logged.
 */
import { once } from "node:events";
import {
	create,
	type DescMessage,
	type DescMethod,
	type DescMethodServerStreaming,
	type DescMethodUnary,
	type DescService,
	fromBinary,
	type Message,
	type MessageInitShape,
	type MessageShape,
	toBinary,
} from "@bufbuild/protobuf";
import type {
	MethodDefinition,
	ServerUnaryCall,
	ServerWritableStream,
	ServiceDefinition,
	sendUnaryData,
	UntypedServiceImplementation,
} from "@grpc/grpc-js";
import type { Logger } from "../../log.ts";
import { LoggedCall } from "./logged-call.ts";
import { statusOf } from "./status.ts";

/** A call under way, as its method sees it. */
export interface GrpcCall {
	/** Fires when the client gives up, or the call's deadline is over. */
	readonly signal: AbortSignal;
}

type Method<D extends DescMethod> =
	D extends DescMethodUnary<infer I extends DescMessage, infer O extends DescMessage>
		? (request: MessageShape<I>, call: GrpcCall) => Promise<MessageInitShape<O>> | MessageInitShape<O>
		: D extends DescMethodServerStreaming<infer I extends DescMessage, infer O extends DescMessage>
			? (
					request: MessageShape<I>,
					call: GrpcCall,
				) => AsyncIterable<MessageInitShape<O>> | Iterable<MessageInitShape<O>>
			: never;

/** What a service does, by the method names of its descriptor. */
export type ServiceMethods<S extends DescService> = {
	readonly [K in keyof S["method"]]: Method<S["method"][K]>;
};

type AnyMethod = (request: unknown, call: GrpcCall) => unknown;
type AnyMessages = AsyncIterable<MessageInitShape<DescMessage>> | Iterable<MessageInitShape<DescMessage>>;

/** The service as grpc-js knows it: a server and a client alike are made of this. */
export function definitionOf(service: DescService): ServiceDefinition {
	return Object.fromEntries(service.methods.map((method) => [method.localName, methodDefinition(method)]));
}

export function methodDefinition<I extends DescMessage, O extends DescMessage>(
	method: DescMethod & { readonly input: I; readonly output: O },
): MethodDefinition<MessageShape<I>, MessageShape<O>> {
	const { input, output, parent, name, methodKind } = method;
	return {
		path: `/${parent.typeName}/${name}`,
		requestStream: methodKind === "client_streaming" || methodKind === "bidi_streaming",
		responseStream: methodKind === "server_streaming" || methodKind === "bidi_streaming",
		requestSerialize: (message) => encode(input, message),
		requestDeserialize: (bytes) => fromBinary(input, bytes),
		responseSerialize: (message) => encode(output, message),
		responseDeserialize: (bytes) => fromBinary(output, bytes),
	};
}

function encode<D extends DescMessage>(schema: D, message: MessageShape<D>): Buffer {
	const { buffer, byteOffset, byteLength } = toBinary(schema, message);
	return Buffer.from(buffer, byteOffset, byteLength);
}

export function handlersOf<S extends DescService>(
	service: S,
	methods: ServiceMethods<S>,
	log: Logger,
): UntypedServiceImplementation {
	const handlers: UntypedServiceImplementation = {};
	for (const method of service.methods) {
		const work = (methods as Readonly<Record<string, AnyMethod>>)[method.localName];
		if (work === undefined) continue;
		const { name, output, methodKind } = method;
		handlers[method.localName] =
			methodKind === "server_streaming"
				? (call: ServerWritableStream<Message, Message>) =>
						void stream(work, output, new LoggedCall(name, call, log), call)
				: (call: ServerUnaryCall<Message, Message>, answer: sendUnaryData<Message>) =>
						void respond(work, output, new LoggedCall(name, call, log), answer);
	}
	return handlers;
}

async function respond(
	work: AnyMethod,
	output: DescMessage,
	logged: LoggedCall,
	answer: sendUnaryData<Message>,
): Promise<void> {
	try {
		const message = create(output, (await work(logged.request, logged)) as MessageInitShape<DescMessage>);
		logged.answered();
		answer(null, message);
	} catch (error) {
		logged.failed(error);
		answer(statusOf(error));
	}
}

async function stream(
	work: AnyMethod,
	output: DescMessage,
	logged: LoggedCall,
	call: ServerWritableStream<Message, Message>,
): Promise<void> {
	try {
		for await (const message of work(logged.request, logged) as AnyMessages) {
			await send(call, create(output, message), logged.signal);
		}
		logged.answered();
		call.end();
	} catch (error) {
		logged.failed(error);
		call.emit("error", statusOf(error));
	}
}

/** Waits while the client does not read. @throws once the signal fires */
async function send(
	call: ServerWritableStream<Message, Message>,
	message: Message,
	signal: AbortSignal,
): Promise<void> {
	signal.throwIfAborted();
	if (!call.write(message)) await once(call, "drain", { signal });
}
