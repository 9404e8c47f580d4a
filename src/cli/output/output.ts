/**
 * What a command writes on stdout and stderr. Loading Node's stream for one of them takes an eighth of the CPU time of an
 * empty Node process, so text goes straight to the descriptor, and to the stream only once something needs that.
 */
import { writeSync } from "node:fs";

export class Output<Stream extends NodeJS.WritableStream> {
	readonly #fd: number;
	readonly #openStream: () => Stream;
	#stream: Stream | undefined;
	/** Called with each failure to write. What could not be written is lost. */
	onFailure: (error: NodeJS.ErrnoException) => void = () => {};

	constructor(fd: number, openStream: () => Stream) {
		this.#fd = fd;
		this.#openStream = openStream;
	}

	/** Node's stream, for what copies into one or asks for a terminal. From now on all is written by it. */
	get stream(): Stream {
		if (this.#stream === undefined) {
			this.#stream = this.#openStream();
			this.#stream.on("error", (error) => this.onFailure(error));
		}
		return this.#stream;
	}

	write(content: string | Uint8Array): void {
		let rest = Buffer.from(content);
		try {
			while (this.#stream === undefined && rest.length > 0) rest = rest.subarray(writeSync(this.#fd, rest));
		} catch (error) {
			// A full pipe that somebody has made non-blocking: the stream waits for its reader.
			if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) {
				this.onFailure(error as NodeJS.ErrnoException);
				return;
			}
		}
		if (rest.length > 0) this.stream.write(rest);
	}

	/** Resolves when all is written, or a failure was told. */
	async finished(): Promise<void> {
		const stream = this.#stream;
		if (stream !== undefined) await new Promise((resolve) => stream.write("", resolve));
	}
}

export const stdout: Output<NodeJS.WriteStream> = new Output(1, () => process.stdout);
export const stderr: Output<NodeJS.WriteStream> = new Output(2, () => process.stderr);
