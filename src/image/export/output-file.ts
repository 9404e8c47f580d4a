/**
 * Where an export goes: a regular file, which is written beside its place and renamed when it is whole; or a pipe,
 * device or stream, which takes the bytes as they come.
 */
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { finished, type Writable } from "node:stream";
import { LamellaError } from "../../errors/index.ts";
import { asArchiveError } from "../failure.ts";

/** Takes bytes in order. What it was given may be reused once its promise resolves. */
export interface Output {
	write(chunk: Uint8Array): Promise<void>;
	/** Everything was given: makes it durable, and visible under its name. */
	finish(): Promise<void>;
	/** Gives up: nothing is left behind. Harmless after `finish`. */
	abandon(): Promise<void>;
}

/** @throws {LamellaError} `EINVALID` where a directory is in the way; `EPERMISSION`, `ENOTFOUND` (its directory) */
export async function openOutput(
	target: string | Writable,
	signal: AbortSignal | undefined,
): Promise<Output> {
	if (typeof target !== "string") return streamOutput(target, signal);
	try {
		const stat = await fs.promises.stat(target).catch((error: NodeJS.ErrnoException) => {
			if (error.code === "ENOENT") return undefined;
			throw error;
		});
		if (stat?.isDirectory() === true) {
			throw new LamellaError(
				"EINVALID",
				`${target} is a directory; name a file, or choose the format oci-dir`,
			);
		}
		// Renaming over /dev/stdout or a FIFO would replace it.
		if (stat !== undefined && !stat.isFile()) return streamOutput(fs.createWriteStream(target), signal);
		return await fileOutput(stat === undefined ? target : await fs.promises.realpath(target));
	} catch (error) {
		throw asArchiveError(error, `write ${target}`);
	}
}

async function fileOutput(target: string): Promise<Output> {
	const directory = path.dirname(target);
	const aside = path.join(directory, asideName(target));
	const file = await fs.promises.open(aside, "wx", 0o644);
	let open = true;
	return {
		write: async (chunk) => {
			for (let done = 0; done < chunk.length; ) {
				done += (await file.write(chunk, done, chunk.length - done)).bytesWritten;
			}
		},
		finish: async () => {
			await file.sync();
			await file.close();
			await fs.promises.rename(aside, target);
			open = false;
			await syncDirectory(directory);
		},
		abandon: async () => {
			if (!open) return;
			open = false;
			await file.close();
			await fs.promises.rm(aside, { force: true });
		},
	};
}

function streamOutput(stream: Writable, signal: AbortSignal | undefined): Output {
	let failure: Error | undefined;
	let rejectPending = (_error: Error): void => {};
	const fail = (error: Error): void => {
		failure ??= error;
		rejectPending(failure);
	};
	// It also hears of a stream that somebody closes: a write that is under way then never calls back.
	finished(stream, { readable: false }, (error) => {
		if (error) fail(error);
	});
	const abort = (): void => fail(new LamellaError("EABORTED", "the export was cancelled"));
	signal?.addEventListener("abort", abort, { once: true });
	const call = (start: (done: (error?: Error | null) => void) => void): Promise<void> =>
		new Promise((resolve, reject) => {
			if (failure !== undefined) return reject(failure);
			rejectPending = reject;
			start((error) => (error ? reject(error) : resolve()));
		});
	return {
		// The stream's reader may keep the chunks that it gets.
		write: (chunk) => call((done) => stream.write(Buffer.from(chunk), done)),
		finish: async () => {
			// Standard output cannot be ended, and need not be.
			if (stream !== process.stdout) await call((done) => stream.end(done));
			signal?.removeEventListener("abort", abort);
		},
		abandon: async () => {
			signal?.removeEventListener("abort", abort);
			if (stream !== process.stdout) stream.destroy();
		},
	};
}

/** A name beside `target` for what is not whole yet. */
export function asideName(target: string): string {
	return `.${path.basename(target).slice(0, 200)}.${randomBytes(6).toString("hex")}.partial`;
}

/** Makes the names in a directory durable. */
export async function syncDirectory(directory: string): Promise<void> {
	const handle = await fs.promises.open(directory, "r");
	try {
		await handle.sync();
	} finally {
		await handle.close();
	}
}
