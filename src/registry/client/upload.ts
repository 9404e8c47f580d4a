/**
 * One blob on its way to a registry: POST begins an upload, PATCH sends it (as one request, or in chunks where the host takes no
 * such large ones), PUT ends it. What breaks goes on from the byte that the registry has, or from the start where it cannot say.
 */
import { Readable } from "node:stream";
import { discardBody, type HttpAnswer, header } from "./exchange.ts";
import { type Asked, cancelled, RegistryError, wrongAnswer } from "./failure.ts";
import type { RegistryRequest } from "./registry-client.ts";
import { delayAfter, pause, type RetryPolicy } from "./retry.ts";

/** A blob that can be read again from any byte on. */
export interface BlobSource {
	readonly digest: string;
	readonly sizeBytes: number;
	/** The bytes from `start` up to, not including, `end`. */
	open(start: number, end: number): AsyncIterable<Uint8Array>;
}

/** What a host takes; found out on the way. */
export interface UploadLimits {
	/** Of one request. */
	chunkBytes: number;
	/** Whether it knows PATCH. */
	takesChunks: boolean;
}

export interface BlobUploadOptions {
	readonly retry: RetryPolicy;
	readonly asked: Asked;
	readonly limits: UploadLimits;
	/** An upload that the host has begun already. */
	readonly begun: URL | undefined;
	readonly onProgress: ((doneBytes: number) => void) | undefined;
	readonly send: (request: RegistryRequest) => Promise<HttpAnswer>;
	readonly failed: (answer: HttpAnswer) => Promise<RegistryError>;
	readonly locationOf: (answer: HttpAnswer) => URL;
}

/** A blob up to this size goes with the PUT that ends the upload: one request less. */
const SMALL_BYTES = 1 << 20;
/** The first size of a chunk for a host, or a proxy before it, that finds a request too large. */
const LARGE_CHUNK_BYTES = 64 << 20;
const SMALLEST_CHUNK_BYTES = 1 << 20;
const READ_BYTES = 1 << 20;
/** Many registries copy or hash the whole blob before they answer the last request. */
const FINISH_MS = 600_000;
/** How often an upload is begun anew that the host has lost, or whose bytes it found wrong. */
const MAX_RESTARTS = 3;

/** The host does not know the upload any more, or has not what it was sent. */
const LOST: ReadonlySet<number | undefined> = new Set([400, 404, 416]);
const NO_PATCH: ReadonlySet<number> = new Set([405, 501]);

interface Session {
	location: URL;
	/** What the host has. */
	offset: number;
	/** The least that it takes at once, but for the end. */
	readonly minimumBytes: number;
	/** Another request than the first: the host is told where its bytes begin. */
	isContinued: boolean;
}

export class BlobUpload {
	readonly #blob: BlobSource;
	readonly #options: BlobUploadOptions;

	constructor(blob: BlobSource, options: BlobUploadOptions) {
		this.#blob = blob;
		this.#options = options;
	}

	/** @throws {RegistryError}; {LamellaError} `EABORTED` */
	async run(): Promise<void> {
		const { begun, retry, asked, limits } = this.#options;
		let session = begun === undefined ? undefined : sessionAt(begun);
		let restarts = 0;
		for (let failures = 0; ; ) {
			const before = session?.offset ?? 0;
			try {
				session ??= await this.#begin();
				await this.#sendRest(session);
				return;
			} catch (error) {
				if (asked.signal?.aborted === true) throw cancelled(asked);
				const isLost = session !== undefined && error instanceof RegistryError && LOST.has(error.status);
				failures = session !== undefined && session.offset > before ? 1 : failures + 1;
				const delayMs = isLost && restarts < MAX_RESTARTS ? 0 : delayAfter(error, failures, retry);
				if (delayMs === undefined) throw error;
				// A proxy may end large requests without a word.
				if (failures > 1) limits.chunkBytes = Math.min(limits.chunkBytes, LARGE_CHUNK_BYTES);
				await pause(delayMs, asked.signal).catch(() => {
					throw cancelled(asked);
				});
				session = session === undefined || isLost ? undefined : await this.#resumed(session);
				if (session === undefined) restarts += 1;
			}
		}
	}

	async #begin(): Promise<Session> {
		const answer = await this.#options.send({ method: "POST", path: "blobs/uploads/" });
		if (answer.status !== 202) throw await this.#options.failed(answer);
		await discardBody(answer);
		return sessionAt(this.#options.locationOf(answer), header(answer, "oci-chunk-min-length"));
	}

	/** Where a broken upload goes on; undefined where the host does not say, and another one has to be begun. */
	async #resumed({ location, minimumBytes }: Session): Promise<Session | undefined> {
		try {
			const answer = await this.#options.send({ method: "GET", path: location });
			await discardBody(answer);
			const [, last] = /^(?:bytes=)?0-(\d+)$/.exec(header(answer, "range") ?? "") ?? [];
			// `0-0` may mean nothing or one byte; a registry that counts otherwise may say more than there is.
			const offset = Number(last) + 1;
			if (answer.status !== 204 || last === undefined || last === "0" || offset > this.#blob.sizeBytes)
				return undefined;
			const next = header(answer, "location") === undefined ? location : this.#options.locationOf(answer);
			return { location: next, offset, minimumBytes, isContinued: true };
		} catch (error) {
			if (!(error instanceof RegistryError)) throw error;
			return undefined;
		}
	}

	async #sendRest(session: Session): Promise<void> {
		const { limits } = this.#options;
		const { sizeBytes } = this.#blob;
		while (session.offset < sizeBytes) {
			const isWhole = session.offset === 0 && (sizeBytes <= SMALL_BYTES || !limits.takesChunks);
			if (isWhole) return await this.#finish(session, sizeBytes);
			await this.#sendChunk(session);
		}
		await this.#finish(session, sizeBytes);
	}

	async #sendChunk(session: Session): Promise<void> {
		const { limits, send, failed, locationOf, asked } = this.#options;
		const { sizeBytes } = this.#blob;
		const start = session.offset;
		const end = Math.min(sizeBytes, start + Math.max(limits.chunkBytes, session.minimumBytes));
		const isPart = session.isContinued || end < sizeBytes;
		const answer = await send({
			method: "PATCH",
			path: session.location,
			headers: {
				"content-type": "application/octet-stream",
				"content-length": String(end - start),
				...(isPart && { "content-range": `${start}-${end - 1}` }),
			},
			body: () => this.#read(start, end),
		});
		if (answer.status === 413 && end - start > SMALLEST_CHUNK_BYTES) {
			// Whatever of it arrived counts for nothing: the location is still that of before.
			await discardBody(answer);
			limits.chunkBytes = Math.min(LARGE_CHUNK_BYTES, Math.ceil((end - start) / 4));
			return;
		}
		if (NO_PATCH.has(answer.status) && start === 0) {
			await discardBody(answer);
			limits.takesChunks = false;
			return;
		}
		if (answer.status !== 202) throw await failed(answer);
		await discardBody(answer);
		session.location = locationOf(answer);
		session.isContinued = true;
		const [, last] = /^(?:bytes=)?0-(\d+)$/.exec(header(answer, "range") ?? "") ?? [];
		// A host may keep less than it was sent, but not nothing: the upload would never end.
		const offset = last === undefined ? end : Math.min(end, Number(last) + 1);
		if (offset <= start)
			throw wrongAnswer(answer.host, asked, `it took bytes from ${start} on, and says that it has ${offset}`);
		session.offset = offset;
	}

	/** Ends the upload, with the bytes that are left. */
	async #finish(session: Session, sizeBytes: number): Promise<void> {
		const { send, failed } = this.#options;
		const location = new URL(session.location);
		location.searchParams.set("digest", this.#blob.digest);
		const { offset } = session;
		const answer = await send({
			method: "PUT",
			path: location,
			headers: {
				"content-type": "application/octet-stream",
				"content-length": String(sizeBytes - offset),
			},
			headersTimeoutMs: FINISH_MS,
			...(offset < sizeBytes && { body: () => this.#read(offset, sizeBytes) }),
		});
		if (answer.status < 200 || answer.status > 299) throw await failed(answer);
		await discardBody(answer);
		this.#options.onProgress?.(sizeBytes);
	}

	#read(start: number, end: number): Readable {
		const blob = this.#blob;
		const { onProgress } = this.#options;
		async function* counted(): AsyncGenerator<Uint8Array> {
			let at = start;
			for await (const chunk of blob.open(start, end)) {
				yield chunk;
				at += chunk.length;
				onProgress?.(at);
			}
		}
		return Readable.from(counted(), { objectMode: false, highWaterMark: READ_BYTES });
	}
}

function sessionAt(location: URL, minimum?: string): Session {
	const minimumBytes = /^\d{1,10}$/.test(minimum ?? "") ? Number(minimum) : 0;
	return { location, offset: 0, minimumBytes, isContinued: false };
}
