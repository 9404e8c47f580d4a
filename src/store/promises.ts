/**
 * `staging/<owner>/promises`: commits that are durable and not yet recorded in the database.
 *
 * A promise is a note (src/layer/jobs/note.ts) in one of the file's slots: the record that the layer is to get, the id that it
 * had, and where the layer is small its whole tree. Flushing it costs no commit of the filesystem's journal; the
 * layer's files, and the database's own durable commit, which cost several flushes, come later. Whoever finds the file of
 * a dead owner keeps what is promised in it and was not kept.
 *
 * Which promises were kept the database says, in the table of facts: `promise/<owner>/<slot>` is the `<n>` of the layer
 * whose commit was recorded last of those that were promised there. Without that a layer which was removed since would
 * come back.
 */
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from "node:fs";
import path from "node:path";
import { type Note, noteFits, readNotes } from "../layer/index.ts";
import type { LayerId } from "./contract.ts";
import { parseLayerId } from "./layer-id.ts";
import type { MetaReader, MetaTransaction } from "./meta-store.ts";
import type { LayerRecord } from "./schema.ts";
import { parseSidecar, sidecarText } from "./sidecar.ts";

const FILE = "promises";
const SLOTS = 16;
const SLOT_BYTES = 32 * 1024;

/** A slot that holds a promise. */
export interface Promised {
	/** To be written, and flushed, once what the promise is about is flushed, or with all of it in the note. */
	readonly note: Note;
	/** Part of the transaction that records the commit. */
	keep(transaction: MetaTransaction): void;
	/** The promise is kept, or withdrawn: the slot is free again. */
	release(): void;
}

/** What a dead owner promised. */
export interface LeftPromise {
	/** What the layer's record is to be. */
	readonly record: LayerRecord;
	/** The active layer's id. */
	readonly key: LayerId;
	/** The layer's tree, for the case that it was not flushed. */
	readonly tree?: Uint8Array | undefined;
	keep(transaction: MetaTransaction): void;
}

export class Promises {
	readonly #directory: string;
	readonly #free: number[] = [];
	#made = false;

	/** `directory` is the owner's. */
	constructor(directory: string) {
		this.#directory = directory;
	}

	/**
	 * A slot for the promise that the record of the layer `key` will be `record`. Undefined where the record is too long
	 * for one, or too many promises are open.
	 */
	make(record: LayerRecord, key: LayerId): Promised | undefined {
		const text = Buffer.from(sidecarText(record, { key }));
		if (!noteFits(text, SLOT_BYTES)) return undefined;
		if (!this.#made) this.#makeFile();
		const slot = this.#free.pop();
		if (slot === undefined) return undefined;
		return {
			note: { file: this.#file, offset: slot * SLOT_BYTES, bytesMax: SLOT_BYTES, text },
			keep: (transaction) => transaction.put("facts", factOf(this.#owner, slot), record.n),
			release: () => this.#free.push(slot),
		};
	}

	/** Call it once all promises are kept. Returns whether `forgetPromises` has something to do. */
	close(): boolean {
		if (!this.#made || this.#free.length < SLOTS) return false;
		rmSync(this.#file, { force: true });
		return true;
	}

	get #file(): string {
		return path.join(this.#directory, FILE);
	}

	get #owner(): string {
		return path.basename(this.#directory);
	}

	/** Durable at once, as are the directories on the way to it: a promise is flushed alone. */
	#makeFile(): void {
		const fd = openSync(this.#file, "wx", 0o600);
		try {
			writeSync(fd, Buffer.alloc(SLOTS * SLOT_BYTES));
			fsyncSync(fd);
		} finally {
			closeSync(fd);
		}
		for (const directory of [this.#directory, path.dirname(this.#directory)]) {
			const fd = openSync(directory, "r");
			fsyncSync(fd);
			closeSync(fd);
		}
		for (let slot = SLOTS - 1; slot >= 0; slot--) this.#free.push(slot);
		this.#made = true;
	}
}

/** What the owner with this directory promised and did not keep, as far as the database knows. */
export function readPromises(directory: string, meta: MetaReader): LeftPromise[] {
	const promises: LeftPromise[] = [];
	const owner = path.basename(directory);
	for (const [slot, { text, tree }] of notesOf(directory)) {
		const { record, key } = parsePromise(text.toString());
		if (meta.get("facts", factOf(owner, slot)) === record.n) continue;
		const keep = (transaction: MetaTransaction): void =>
			transaction.put("facts", factOf(owner, slot), record.n);
		promises.push({ record, key, tree, keep });
	}
	return promises;
}

/** Whether the database knows of an owner's promises. */
export function hasPromised(meta: MetaReader, owner: string): boolean {
	for (const _ of meta.entries("facts", factOf(owner, ""))) return true;
	return false;
}

/** Takes out what the database knows of an owner's promises, once their file is gone. */
export function forgetPromises(transaction: MetaTransaction, owner: string): void {
	for (const [fact] of [...transaction.entries("facts", factOf(owner, ""))])
		transaction.remove("facts", fact);
}

function notesOf(directory: string): ReturnType<typeof readNotes> {
	try {
		return readNotes(path.join(directory, FILE), SLOT_BYTES);
	} catch (error) {
		// Most owners never promise anything.
		if (error instanceof Error && Reflect.get(error, "code") === "ENOENT") return new Map();
		throw error;
	}
}

function parsePromise(text: string): { record: LayerRecord; key: LayerId } {
	const { key } = JSON.parse(text) as { key: unknown };
	return { record: parseSidecar(text), key: parseLayerId(String(key)) };
}

function factOf(owner: string, slot: number | ""): string {
	return `promise/${owner}/${slot}`;
}
