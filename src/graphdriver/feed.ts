/** Gives a stream to a worker thread, which reads it from a pipe. */
import net from "node:net";
import type { Readable } from "node:stream";
import * as linux from "../linux/index.ts";

/** As large as an ordinary user may make a pipe (/proc/sys/fs/pipe-max-size). */
const PIPE_SIZE_BYTES = 1 << 20;

/**
 * Writes `input` into a pipe whose reading end `consume` gets, and returns what `consume` returns.
 *
 * A stream that breaks off must not pass for one that ended: `signal` fires before the pipe is closed, and the
 * call rejects with the stream's error even where `consume` made do with what it had; `undo` then takes its result back.
 */
export async function feedThroughPipe<T>(
	input: Readable,
	consume: (fd: number, signal: AbortSignal) => Promise<T>,
	undo: (result: T) => Promise<void>,
): Promise<T> {
	const { readFd, writeFd } = linux.pipe2(linux.O_CLOEXEC);
	try {
		linux.setPipeSize(writeFd, PIPE_SIZE_BYTES);
	} catch (error) {
		// Only speed: the user's share of pipe buffers is used up.
		if (!linux.isSystemError(error, "EPERM", "EBUSY")) throw error;
	}
	const abort = new AbortController();
	// A socket, for it waits in the event loop: a plain write would hold a thread of the shared pool while the pipe is full.
	const sink = new net.Socket({ fd: writeFd, readable: false, writable: true });
	let consumed = false;
	const feeding = pump(input, sink, abort, () => consumed);
	try {
		const result = await consume(readFd, abort.signal);
		consumed = true;
		linux.close(readFd);
		try {
			await feeding;
		} catch (error) {
			await undo(result);
			throw error;
		}
		return result;
	} catch (error) {
		if (!consumed) {
			consumed = true;
			linux.close(readFd);
			// The input's own failure explains more than what the consumer made of it.
			await feeding;
		}
		throw error;
	} finally {
		sink.destroy();
	}
}

/** Settles when everything was written, or when the consumer needs no more. Rejects where the input fails. */
async function pump(
	input: Readable,
	sink: net.Socket,
	abort: AbortController,
	consumed: () => boolean,
): Promise<void> {
	let sinkError: Error | undefined;
	let wake = (): void => {};
	sink.on("error", (error) => {
		sinkError = error;
		wake();
	});
	sink.on("drain", () => wake());
	sink.on("close", () => wake());
	try {
		for await (const chunk of input as AsyncIterable<Buffer>) {
			// The reading end is closed: whoever read has all it wants, and says itself if that was too little.
			if (sinkError !== undefined || sink.destroyed || consumed()) return;
			if (!sink.write(chunk)) {
				await new Promise<void>((resolve) => {
					wake = resolve;
					if (sinkError !== undefined || sink.destroyed) resolve();
				});
			}
		}
	} catch (error) {
		abort.abort(error);
		sink.destroy();
		throw error;
	}
	sink.end();
}
