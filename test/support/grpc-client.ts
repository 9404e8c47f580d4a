/** Calls of a gRPC service by its descriptor, on a unix socket. */
import {
	create,
	type DescMessage,
	type DescMethod,
	type MessageInitShape,
	type MessageShape,
} from "@bufbuild/protobuf";
import {
	Client,
	type ClientReadableStream,
	type ClientUnaryCall,
	credentials,
	Metadata,
} from "@grpc/grpc-js";
import { methodDefinition } from "../../src/serve/containerd/grpc/service.ts";

type Method<I extends DescMessage, O extends DescMessage> = DescMethod & {
	readonly input: I;
	readonly output: O;
};

/** containerd's own clients send `localhost` as authority; a path would be refused. */
export function connectTo(socket: string, options: object = {}, authority = "localhost"): Client {
	return new Client(`unix:${socket}`, credentials.createInsecure(), {
		"grpc.default_authority": authority,
		...options,
	});
}

export function begin<I extends DescMessage, O extends DescMessage>(
	client: Client,
	method: Method<I, O>,
	fields: MessageInitShape<I>,
	{
		metadata = new Metadata(),
		deadlineMs = 60_000,
	}: { metadata?: Metadata; deadlineMs?: number | undefined } = {},
): { readonly call: ClientUnaryCall; readonly answer: Promise<MessageShape<O>> } {
	const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
	const { promise: answer, resolve, reject } = Promise.withResolvers<MessageShape<O>>();
	const request = create(method.input, fields);
	const options = { deadline: Date.now() + deadlineMs };
	const call = client.makeUnaryRequest(
		...([path, requestSerialize, responseDeserialize, request, metadata, options] as const),
		(error, value) => (value === undefined ? reject(error) : resolve(value)),
	);
	return { call, answer };
}

export function streamed<I extends DescMessage, O extends DescMessage>(
	client: Client,
	method: Method<I, O>,
	fields: MessageInitShape<I>,
	metadata: Metadata = new Metadata(),
): ClientReadableStream<MessageShape<O>> {
	const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
	const request = create(method.input, fields);
	return client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, metadata);
}
