/** Connections of the server's side behind a unix socket, for tests. */
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { ServerConnection } from "../connection.ts";
import { encodeHeaders } from "../hpack.ts";
import type { ServerStream } from "../stream.ts";
import { FrameClient } from "./frame-client.ts";

export const HEADERS: Buffer = encodeHeaders([[":status", "200"]]);
export const TRAILERS: Buffer = encodeHeaders([["end", "well"]]);

/** Answers with what was asked, before the next frame is looked at. */
export function echo(stream: ServerStream): void {
	stream.onRequest = (body) => stream.answer(HEADERS, body, TRAILERS);
}

export class Served implements AsyncDisposable {
	/** What each connection has had, the newest last. */
	readonly connections: ServerConnection[] = [];
	readonly sockets: net.Socket[] = [];
	readonly streams: ServerStream[] = [];
	/** Why connections broke. */
	readonly broken: string[] = [];
	closed = 0;
	readonly #directory = fs.mkdtempSync(path.join(os.tmpdir(), "lamella-"));
	readonly path: string = path.join(this.#directory, "http2.sock");
	readonly #clients: FrameClient[] = [];
	readonly #listener: net.Server;

	private constructor(onStream: (stream: ServerStream) => void, unreadBytesMax: number) {
		this.#listener = net.createServer((socket) => {
			this.sockets.push(socket);
			this.connections.push(
				new ServerConnection(socket, {
					unreadBytesMax,
					onStream: (stream) => {
						this.streams.push(stream);
						onStream(stream);
					},
					onBroken: ({ message }) => this.broken.push(message),
					onClose: () => {
						this.closed += 1;
					},
				}),
			);
		});
	}

	static async start(
		onStream: (stream: ServerStream) => void = echo,
		{ unreadBytesMax = 4 << 20 }: { readonly unreadBytesMax?: number } = {},
	): Promise<Served> {
		const served = new Served(onStream, unreadBytesMax);
		served.#listener.listen(served.path);
		await once(served.#listener, "listening");
		return served;
	}

	async connect(): Promise<FrameClient> {
		const client = await FrameClient.connect(this.path);
		this.#clients.push(client);
		return client;
	}

	/** A client that has already said what begins a connection. */
	async greeted(...settings: readonly (readonly [id: number, value: number])[]): Promise<FrameClient> {
		const client = await this.connect();
		client.greet(...settings);
		await client.heard();
		return client;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const client of this.#clients) client.socket.destroy();
		for (const socket of this.sockets) socket.destroy();
		this.#listener.close();
		await once(this.#listener, "close");
		fs.rmSync(this.#directory, { recursive: true, force: true });
	}
}
