/**
 * A blob as it comes from a registry, to its end: a connection that breaks goes on where it stopped, or from the start where the
 * host gives no ranges; a host that fails is passed over for the next. Its length is checked here, its digest by who reads it.
 */
import { Readable } from "node:stream";
import type { RegistryHost } from "../hosts/registry-host.ts";
import { discardBody, type HttpAnswer, header } from "./exchange.ts";
import {
	type Asked,
	brokenConnection,
	cancelled,
	quotedText,
	RegistryError,
	wrongAnswer,
} from "./failure.ts";
import { delayAfter, pause, type RetryPolicy } from "./retry.ts";

/** A connection that brings less than this before it breaks counts as one that failed. */
const PROGRESS_BYTES = 64 << 10;

export interface BlobDescriptor {
	readonly digest: string;
	readonly size: number;
}

export interface BlobStreamOptions {
	/** In the order to ask. */
	readonly hosts: readonly RegistryHost[];
	readonly retry: RetryPolicy;
	readonly asked: Asked;
	/** Asks one host for the blob from a byte on. An answer that reports a failure is thrown. */
	readonly ask: (host: RegistryHost, offset: number, asked: Asked) => Promise<HttpAnswer>;
}

/** The bytes of a blob. `servedBy` says which hosts they came from. */
export class BlobStream extends Readable {
	readonly #chunks: AsyncGenerator<Uint8Array>;
	readonly #stop = new AbortController();
	readonly #servedBy = new Set<string>();
	#reading = false;

	constructor(descriptor: BlobDescriptor, options: BlobStreamOptions) {
		super({ highWaterMark: 256 << 10 });
		const { signal } = options.asked;
		const stop = this.#stop.signal;
		const asked = { ...options.asked, signal: signal === undefined ? stop : AbortSignal.any([signal, stop]) };
		this.#chunks = wholeBlob(descriptor, { ...options, asked }, (host) => this.#servedBy.add(host));
	}

	/** Origins of the hosts that gave some of it. */
	get servedBy(): ReadonlySet<string> {
		return this.#servedBy;
	}

	override _read(): void {
		if (this.#reading) return;
		this.#reading = true;
		void this.#pull();
	}

	override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
		// A connection that brings nothing would otherwise be waited for without end.
		this.#stop.abort();
		void this.#chunks.return(undefined).catch(() => {
			// What breaks now was told, or is not wanted.
		});
		done(error);
	}

	async #pull(): Promise<void> {
		try {
			for (;;) {
				const next = await this.#chunks.next();
				if (this.destroyed) return;
				if (next.done === true) {
					this.push(null);
					return;
				}
				if (!this.push(next.value)) break;
			}
			this.#reading = false;
		} catch (error) {
			this.destroy(error instanceof Error ? error : new Error(String(error)));
		}
	}
}

async function* wholeBlob(
	{ size }: BlobDescriptor,
	{ hosts, retry, asked, ask }: BlobStreamOptions,
	serves: (host: string) => void,
): AsyncGenerator<Uint8Array> {
	let doneBytes = 0;
	let failures = 0;
	const failed: RegistryError[] = [];
	for (let i = 0; doneBytes < size; ) {
		const host = hosts[i];
		if (host === undefined) throw ofAllHosts(failed, asked);
		const startBytes = doneBytes;
		try {
			for await (const chunk of rest(await ask(host, doneBytes, asked), doneBytes, size, asked)) {
				serves(host.origin);
				doneBytes += chunk.length;
				yield chunk;
			}
		} catch (error) {
			if (!(error instanceof RegistryError)) throw error;
			failures = doneBytes - startBytes >= PROGRESS_BYTES ? 1 : failures + 1;
			const isLast = i === hosts.length - 1;
			const delayMs = isLast || doneBytes > startBytes ? delayAfter(error, failures, retry) : undefined;
			if (delayMs === undefined) {
				failed.push(error);
				failures = 0;
				i += 1;
			} else {
				await pause(delayMs, asked.signal).catch(() => {
					throw cancelled(asked);
				});
			}
		}
	}
}

/** The bytes from `doneBytes` on. @throws {RegistryError} also where the answer ends before `size` */
async function* rest(
	answer: HttpAnswer,
	doneBytes: number,
	size: number,
	asked: Asked,
): AsyncGenerator<Uint8Array> {
	const { host, body } = answer;
	let at = await startOf(answer, doneBytes, size, asked);
	try {
		for await (const chunk of body as AsyncIterable<Buffer>) {
			const start = Math.max(0, doneBytes - at);
			at += chunk.length;
			if (at > size)
				throw wrongAnswer(host, asked, `it is longer than the ${size} bytes that the manifest says`);
			if (start < chunk.length) yield start === 0 ? chunk : chunk.subarray(start);
			doneBytes = Math.max(doneBytes, at);
		}
	} catch (error) {
		throw brokenConnection(error, host, asked, { wasReached: true, doneBytes });
	} finally {
		if (!body.readableEnded) body.destroy();
	}
	if (at < size) {
		throw new RegistryError(
			"ENETWORK",
			`${host} ended ${asked.what} of ${asked.repository} after ${at} of ${size} bytes; the connection broke off: try again`,
			{ host, isPassing: true },
		);
	}
}

/** Where in the blob the answer begins: where it was to, or at the start from a host that gives no ranges. */
async function startOf(answer: HttpAnswer, doneBytes: number, size: number, asked: Asked): Promise<number> {
	const { host, status } = answer;
	const refuse = async (why: string): Promise<never> => {
		await discardOrBreak(answer);
		throw wrongAnswer(host, asked, why);
	};
	const encoding = header(answer, "content-encoding") ?? "identity";
	if (
		encoding !== "identity" &&
		encoding !== "" &&
		header(answer, "content-length") !== String(size - doneBytes)
	)
		return await refuse(`it is in the encoding ${quotedText(encoding)}, which was not asked for`);
	if (status === 206) {
		const range = header(answer, "content-range") ?? "";
		const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(range) ?? [];
		const isRight = Number(start) === doneBytes && (total === "*" || Number(total) === size);
		if (!isRight)
			return await refuse(
				`the bytes from ${doneBytes} on of ${size} were asked for, and its range is ${quotedText(range) || "not said"}`,
			);
		return doneBytes;
	}
	const length = header(answer, "content-length");
	if (length !== undefined && Number(length) !== size)
		return await refuse(`it has ${quotedText(length)} bytes, and the manifest says ${size}`);
	return 0;
}

/** A body may be of any length: no more of it is read. */
async function discardOrBreak(answer: HttpAnswer): Promise<void> {
	if (Number(header(answer, "content-length") ?? Number.POSITIVE_INFINITY) <= PROGRESS_BYTES)
		await discardBody(answer);
	else answer.body.destroy();
}

/** The last host's failure, which is the registry's own; mirrors before it stand behind. */
export function ofAllHosts(failures: readonly RegistryError[], asked: Asked): RegistryError {
	const last = failures.at(-1);
	if (last === undefined) {
		return new RegistryError(
			"ECONFIG",
			`there is no host to ask for ${asked.what} of ${asked.repository}: hosts.toml gives none that can`,
			{ host: asked.registry },
		);
	}
	if (failures.length === 1) return last;
	const before = failures.slice(0, -1).map(({ message }) => message);
	const { code, message, host, status, isPassing, retryAfterMs, cause } = last;
	return new RegistryError(code, `${message} (before it: ${before.join("; ")})`, {
		host,
		status,
		isPassing,
		retryAfterMs,
		cause: cause ?? last,
	});
}
