/**
 * Notes: bytes that are written over others which their file has already, so that flushing them costs no commit of the
 * filesystem's journal. A note is sealed: one that was written in part is none.
 *
 * SHA-256 of what follows; four bytes of the text's length, four of the tree's; the text; a packed tree (packed-tree.ts).
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import * as linux from "../../linux/index.ts";
import type { Usage } from "../contract.ts";
import { asLamellaError } from "../system-failure.ts";
import type { Note } from "./job-contract.ts";
import { packTree } from "./packed-tree.ts";

const DIGEST_BYTES = 32;
const HEAD_BYTES = DIGEST_BYTES + 8;

export interface ReadNote {
	readonly text: Buffer;
	/** Undefined where none was noted. */
	readonly tree?: Buffer | undefined;
}

/** Whether a note of such a text fits into so many bytes. */
export function noteFits(text: Uint8Array, bytesMax: number): boolean {
	return HEAD_BYTES + text.length <= bytesMax;
}

/** Writes a note, and flushes it. @throws {LamellaError} `ESYSTEM`, `ENOSPACE` */
export function writeNote(note: Note): void {
	writeSealed(note, NO_TREE);
}

/**
 * The same with the tree in a directory as a part of the note. Undefined, and nothing is written, where that is not small;
 * else what the tree takes on disk.
 * @throws {LamellaError} `ESYSTEM`, `ENOSPACE`
 */
export function writeNoteWithTree(note: Note, directory: string): Usage | undefined {
	const packed = packTree(directory, note.bytesMax - HEAD_BYTES - note.text.length);
	if (packed === undefined) return undefined;
	writeSealed(note, packed.bytes);
	return packed.usage;
}

function writeSealed({ file, offset, text }: Note, tree: Buffer): void {
	const bytes = Buffer.alloc(HEAD_BYTES + text.length + tree.length);
	bytes.writeUInt32BE(text.length, DIGEST_BYTES);
	bytes.writeUInt32BE(tree.length, DIGEST_BYTES + 4);
	bytes.set(text, HEAD_BYTES);
	bytes.set(tree, HEAD_BYTES + text.length);
	bytes.set(digest(bytes.subarray(DIGEST_BYTES)));
	overwrite(file, offset, bytes);
}

/** Makes what is noted there no note any more, and flushes that. */
export function withdrawNote({ file, offset }: Note): void {
	overwrite(file, offset, Buffer.alloc(HEAD_BYTES));
}

/** The notes in a file, by the number of their slots of `bytesMax` each. */
export function readNotes(file: string, bytesMax: number): ReadonlyMap<number, ReadNote> {
	const bytes = readFileSync(file);
	const notes = new Map<number, ReadNote>();
	for (let slot = 0; slot * bytesMax + HEAD_BYTES <= bytes.length; slot++) {
		const note = noteIn(bytes.subarray(slot * bytesMax, (slot + 1) * bytesMax));
		if (note !== undefined) notes.set(slot, note);
	}
	return notes;
}

const NO_TREE = Buffer.alloc(0);

/** Undefined for what was never written, or only in part: then nobody was told that it was. */
function noteIn(slot: Buffer): ReadNote | undefined {
	const textEnd = HEAD_BYTES + slot.readUInt32BE(DIGEST_BYTES);
	const treeEnd = textEnd + slot.readUInt32BE(DIGEST_BYTES + 4);
	if (textEnd === HEAD_BYTES || treeEnd > slot.length) return undefined;
	if (!digest(slot.subarray(DIGEST_BYTES, treeEnd)).equals(slot.subarray(0, DIGEST_BYTES))) return undefined;
	const text = slot.subarray(HEAD_BYTES, textEnd);
	return treeEnd > textEnd ? { text, tree: slot.subarray(textEnd, treeEnd) } : { text };
}

function overwrite(file: string, offset: number, bytes: Buffer): void {
	try {
		const fd = linux.openat(linux.AT_FDCWD, file, linux.O_WRONLY);
		try {
			linux.pwrite(fd, bytes, 0, bytes.length, offset);
			linux.fdatasync(fd);
		} finally {
			linux.close(fd);
		}
	} catch (error) {
		throw asLamellaError(error, "flush", () => linux.escapePath(Buffer.from(file)));
	}
}

function digest(bytes: Buffer): Buffer {
	return createHash("sha256").update(bytes).digest();
}
