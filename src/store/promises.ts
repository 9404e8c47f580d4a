/**
 * `staging/<owner>/promises`: commits that are durable and not yet recorded in the database.
 *
 * A promise is written over the bytes of a slot that the file has already, so that flushing it costs no commit of the
 * filesystem's journal; the database's own durable commit, which costs several flushes, comes later. Whoever finds the
 * file of a dead owner keeps what is promised in it. A promise that was kept does no harm there: `<n>` is never given
 * twice, and a layer is committed once.
 */
import { createHash } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import path from "node:path";
import type { NoteInPlace } from "../layer/index.ts";
import type { LayerRecord } from "./schema.ts";
import { parseSidecar, sidecarText } from "./sidecar.ts";

const FILE = "promises";
const SLOTS = 16;
const SLOT_BYTES = 4096;
/** SHA-256 in hex and a space, before the record. */
const HEAD_BYTES = 65;

/** A slot that holds a promise. */
export interface Promised {
	/** To be written, and flushed, once what the promise is about is flushed. */
	readonly note: NoteInPlace;
	/** To be written and flushed in its place where nothing comes of it, before anybody was told. */
	readonly withdrawal: NoteInPlace;
	/** The promise is kept, or withdrawn: the slot is free again. */
	release(): void;
}

export class Promises {
	readonly #file: string;
	readonly #free: number[] = [];
	#made = false;

	/** `directory` is the owner's. */
	constructor(directory: string) {
		this.#file = path.join(directory, FILE);
	}

	/**
	 * A slot for the promise that a layer's record will be `record`. Undefined where the record is too long for one, or
	 * too many promises are open.
	 */
	make(record: LayerRecord): Promised | undefined {
		const bytes = slotOf(record);
		if (bytes === undefined) return undefined;
		if (!this.#made) this.#makeFile();
		const slot = this.#free.pop();
		if (slot === undefined) return undefined;
		const place = { file: this.#file, offset: slot * SLOT_BYTES };
		return {
			note: { ...place, bytes },
			withdrawal: { ...place, bytes: Buffer.alloc(SLOT_BYTES) },
			release: () => this.#free.push(slot),
		};
	}

	/** Call it once all promises are kept. */
	close(): void {
		if (this.#made && this.#free.length === SLOTS) rmSync(this.#file, { force: true });
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
		const owner = path.dirname(this.#file);
		for (const directory of [owner, path.dirname(owner)]) {
			const fd = openSync(directory, "r");
			fsyncSync(fd);
			closeSync(fd);
		}
		for (let slot = SLOTS - 1; slot >= 0; slot--) this.#free.push(slot);
		this.#made = true;
	}
}

/** What a dead owner promised, kept or not. */
export function readPromises(directory: string): LayerRecord[] {
	let bytes: Buffer;
	try {
		bytes = readFileSync(path.join(directory, FILE));
	} catch (error) {
		// Most owners never promise anything.
		if (error instanceof Error && Reflect.get(error, "code") === "ENOENT") return [];
		throw error;
	}
	const records: LayerRecord[] = [];
	for (let at = 0; at < bytes.length; at += SLOT_BYTES) {
		const record = recordIn(bytes.subarray(at, at + SLOT_BYTES));
		if (record !== undefined) records.push(record);
	}
	return records;
}

function slotOf(record: LayerRecord): Buffer | undefined {
	const text = Buffer.from(sidecarText(record));
	if (HEAD_BYTES + text.length > SLOT_BYTES) return undefined;
	const slot = Buffer.alloc(SLOT_BYTES);
	text.copy(slot, HEAD_BYTES);
	slot.write(`${digest(slot.subarray(HEAD_BYTES))} `, 0, "latin1");
	return slot;
}

/** Undefined for a slot that was never written, or only in part: then nobody was told that it was. */
function recordIn(slot: Buffer): LayerRecord | undefined {
	const content = slot.subarray(HEAD_BYTES);
	if (slot.toString("latin1", 0, HEAD_BYTES - 1) !== digest(content)) return undefined;
	const end = content.indexOf(0);
	return parseSidecar(content.toString("utf8", 0, end < 0 ? content.length : end));
}

function digest(bytes: Buffer): string {
	return createHash("sha256").update(bytes).digest("hex");
}
