/** A TCP relay that ends connections after so many bytes of the answer, wherever in TLS that is. */
import { connect, createServer, type Socket } from "node:net";
import { listen } from "./servers.ts";

export class CuttingRelay implements AsyncDisposable {
	connections = 0;
	readonly #sockets = new Set<Socket>();
	readonly #limits: number[];
	readonly #server = createServer((client) => this.#relay(client));
	readonly #upstreamPort: number;
	#port = 0;

	private constructor(upstreamPort: number, limits: readonly number[]) {
		this.#upstreamPort = upstreamPort;
		this.#limits = [...limits];
	}

	/** `limits`: bytes for the first connection, the second, …; those after the last are left alone. */
	static async start(upstreamPort: number, limits: readonly number[]): Promise<CuttingRelay> {
		const relay = new CuttingRelay(upstreamPort, limits);
		relay.#port = await listen(relay.#server);
		return relay;
	}

	get host(): string {
		return `127.0.0.1:${this.#port}`;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		const closed = new Promise((resolve) => this.#server.close(resolve));
		for (const socket of this.#sockets) socket.destroy();
		await closed;
	}

	#relay(client: Socket): void {
		this.connections += 1;
		let left = this.#limits.shift() ?? Number.POSITIVE_INFINITY;
		const upstream = connect(this.#upstreamPort, "127.0.0.1");
		const sockets = [client, upstream];
		for (const socket of sockets) {
			this.#sockets.add(socket);
			socket.on("error", () => socket.destroy());
			socket.on("close", () => {
				this.#sockets.delete(socket);
				for (const each of sockets) each.destroy();
			});
		}
		client.pipe(upstream);
		upstream.on("data", (bytes: Buffer) => {
			const piece = bytes.subarray(0, left);
			left -= piece.length;
			const more = client.write(piece, () => left === 0 && client.destroy());
			if (more) return;
			upstream.pause();
			client.once("drain", () => upstream.resume());
		});
	}
}
