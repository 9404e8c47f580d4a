/** The pipes between Node's streams and jobs: a job reads or writes its end with plain blocking calls. */
import { closeSync } from "node:fs";
import { Socket } from "node:net";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { LayerSource } from "../../layer/index.ts";
import * as linux from "../../linux/index.ts";

// Fewer switches between the threads than the default 64 KiB gives.
const PIPE_BYTES = 1024 * 1024;

export interface StreamSource {
	readonly source: LayerSource;
	/**
	 * Settles when the stream has ended. It rejects with the stream's error; the job's result must then not be used, even
	 * where the job succeeded.
	 */
	readonly done: Promise<void>;
	/** Ends the stream now, so that a job that waits for more of it goes on. */
	breakOff(): void;
	/** Ends the stream and closes the job's end. Call it after the job, whatever became of it. */
	close(): void;
}

/** Lets a job read from a stream. */
export function sourceFromStream(readable: Readable): StreamSource {
	const { readFd, writeFd } = bigPipe();
	const writer = new Socket({ fd: writeFd, readable: false, writable: true });
	const done = pipeline(readable, writer);
	// The caller looks at it after the job; until then a rejection is not unhandled.
	done.catch(() => undefined);
	let open = true;
	const breakOff = (): void => {
		writer.destroy();
		readable.destroy();
	};
	return {
		source: { from: "pipe", fd: readFd, compression: "detect" },
		done,
		breakOff,
		close: () => {
			if (!open) return;
			open = false;
			closeSync(readFd);
			breakOff();
		},
	};
}

export interface StreamSink {
	/** What the job writes. Destroying it makes the job's next write fail. */
	readonly stream: Readable;
	readonly fd: number;
	/** The job's end: the stream ends after what was written, or is destroyed with the error. */
	finish(error?: Error): void;
}

/** Lets a stream read what a job writes. */
export function streamFromSink(): StreamSink {
	const { readFd, writeFd } = bigPipe();
	const stream = new Socket({ fd: readFd, readable: true, writable: false });
	let open = true;
	return {
		stream,
		fd: writeFd,
		finish: (error) => {
			if (!open) return;
			open = false;
			// First, so that a reader does not take the end of the bytes for success.
			if (error !== undefined) stream.destroy(error);
			closeSync(writeFd);
		},
	};
}

/** @param flags of pipe2(2): O_NONBLOCK */
export function bigPipe(flags = 0): { readFd: number; writeFd: number } {
	const pipe = linux.pipe2(flags);
	try {
		linux.setPipeSize(pipe.writeFd, PIPE_BYTES);
	} catch (error) {
		// Over the user's limit on pipe pages: a small pipe is only slower.
		if (!linux.isSystemError(error, "EPERM", "EBUSY")) throw error;
	}
	return pipe;
}
