/**
 * A gRPC server on a socket that was claimed. `@grpc/grpc-js` speaks the protocol; connections are accepted here and handed
 * over to it, because who binds decides about the socket's mode, its queue, and when the last connection is gone.
 */
import net from "node:net";
import type { DescService } from "@bufbuild/protobuf";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { listenAt, type SocketClaim } from "../../listen.ts";
import type { Logger } from "../../log.ts";
import { definitionOf, handlersOf, type ServiceMethods } from "./service.ts";

/** containerd sends and takes messages of up to 16 MiB. */
const MESSAGE_BYTES_MAX = 16 * 2 ** 20;

export class GrpcServer {
	readonly #log: Logger;
	readonly #server = new Server({
		"grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
		"grpc.max_send_message_length": MESSAGE_BYTES_MAX,
		// Counts and history of each connection, for a service that is not offered here.
		"grpc.enable_channelz": 0,
	});
	readonly #connections = new Set<net.Socket>();
	readonly #listener: net.Server;

	constructor(log: Logger) {
		this.#log = log;
		const injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
		this.#listener = net.createServer((socket) => {
			this.#connections.add(socket);
			socket.once("close", () => this.#connections.delete(socket));
			injector.injectConnection(socket);
		});
	}

	/** Serves what the descriptor has; a method that is not given is answered by Unimplemented. */
	add<S extends DescService>(service: S, methods: ServiceMethods<S>): void {
		this.#server.addService(definitionOf(service), handlersOf(service, methods, this.#log));
	}

	async listen(claim: SocketClaim): Promise<void> {
		await listenAt(this.#listener, claim);
	}

	/** Takes no more calls, waits for those under way, and cuts off what is still there after `drainMs`. */
	async close(drainMs: number): Promise<{ cutOff: number }> {
		let cutOff = 0;
		const ended = new Promise<void>((resolve) => this.#listener.close(() => resolve()));
		// The listener has ended when all connections have, and each of them ends with its last call.
		this.#server.tryShutdown(() => undefined);
		const timer = setTimeout(() => {
			cutOff = this.#connections.size;
			for (const connection of this.#connections) connection.destroy();
		}, drainMs);
		await ended;
		clearTimeout(timer);
		return { cutOff };
	}
}
