import fs from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { Workplace } from "../testing/overlay-mount.ts";
import type { Note } from "./job-contract.ts";
import { noteFits, readNotes, withdrawNote, writeNote, writeNoteWithTree } from "./note.ts";
import { unpackTree } from "./packed-tree.ts";

const SLOT_BYTES = 4096;

function slots(place: Workplace, count: number): (slot: number, text: string) => Note {
	const file = path.join(place.directory, "notes");
	fs.writeFileSync(file, Buffer.alloc(count * SLOT_BYTES));
	return (slot, text) => ({
		file,
		offset: slot * SLOT_BYTES,
		bytesMax: SLOT_BYTES,
		text: Buffer.from(text),
	});
}

const read = (place: Workplace): ReturnType<typeof readNotes> =>
	readNotes(path.join(place.directory, "notes"), SLOT_BYTES);

test("a note is read back, with the tree that belongs to it, and what is written over it is the only one", () => {
	using place = new Workplace();
	const at = slots(place, 3);
	const tree = place.make("tree");
	fs.writeFileSync(path.join(tree, "file"), "content");
	writeNote(at(0, "zero"));
	expect(writeNoteWithTree(at(2, "two ☃"), tree)).toMatchObject({ inodes: 2 });
	const notes = read(place);
	expect([...notes.keys()]).toEqual([0, 2]);
	expect(notes.get(0)).toEqual({ text: Buffer.from("zero") });
	expect(notes.get(2)?.text.toString()).toBe("two ☃");
	unpackTree(notes.get(2)?.tree ?? Buffer.alloc(0), path.join(place.directory, "back"));
	expect(fs.readFileSync(path.join(place.directory, "back/file"), "utf8")).toBe("content");
	writeNote(at(2, "2"));
	expect(read(place).get(2)).toEqual({ text: Buffer.from("2") });
	withdrawNote(at(2, ""));
	expect([...read(place).keys()]).toEqual([0]);
});

test("a tree that leaves no room is not noted, and nothing is written; a slot is never gone over", () => {
	using place = new Workplace();
	const at = slots(place, 2);
	const tree = place.make("tree");
	fs.writeFileSync(path.join(tree, "file"), Buffer.alloc(4000, 1));
	writeNote(at(0, "before"));
	expect(writeNoteWithTree(at(0, "after"), tree)).toBeUndefined();
	expect(read(place).get(0)?.text.toString()).toBe("before");
	const longest = SLOT_BYTES - 40;
	expect(noteFits(Buffer.alloc(longest), SLOT_BYTES)).toBe(true);
	expect(noteFits(Buffer.alloc(longest + 1), SLOT_BYTES)).toBe(false);
	writeNote(at(1, "next"));
	writeNote(at(0, "x".repeat(longest)));
	expect(read(place).get(0)?.text.length).toBe(longest);
	expect(read(place).get(1)?.text.toString()).toBe("next");
});

test("a note that was written in part is none", () => {
	using place = new Workplace();
	const at = slots(place, 1);
	writeNote(at(0, "whole".repeat(100)));
	const whole = fs.readFileSync(at(0, "").file);
	for (let cut = 0; cut < 540; cut += 7) {
		const torn = Buffer.from(whole);
		torn.fill(0, cut);
		fs.writeFileSync(at(0, "").file, torn);
		expect(read(place).size).toBe(0);
	}
	for (const at_ of [0, 31, 33, 38, 41, 300]) {
		const flipped = Buffer.from(whole);
		flipped[at_] = (flipped[at_] ?? 0) ^ 0x40;
		fs.writeFileSync(at(0, "").file, flipped);
		expect(read(place).size).toBe(0);
	}
});
