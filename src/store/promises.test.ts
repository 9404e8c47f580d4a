import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { NoteInPlace } from "../layer/index.ts";
import { parseLayerId } from "./layer-id.ts";
import { Promises, readPromises } from "./promises.ts";
import type { LayerRecord } from "./schema.ts";

let directory: string;

beforeEach(() => {
	directory = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function record(n: string, labels: Record<string, string> = {}): LayerRecord {
	return {
		id: parseLayerId(`layer ${n} ☃`),
		n,
		parent: parseLayerId("base"),
		kind: "committed",
		labels,
		createdAtMs: 1,
		updatedAtMs: 2,
		flattened: false,
		depth: 3,
	};
}

/** As the job does, but for the flush. */
function write({ file, offset, bytes }: NoteInPlace): void {
	const content = readFileSync(file);
	content.set(bytes, offset);
	writeFileSync(file, content);
}

test("what is promised is read back, until the slot is used again", () => {
	const promises = new Promises(directory);
	expect(readPromises(directory)).toEqual([]);
	const first = promises.make(record("aaaaaa1"));
	const second = promises.make(record("aaaaaa2", { key: "value" }));
	if (first === undefined || second === undefined) throw new Error("no slot");
	write(first.note);
	write(second.note);
	const read = readPromises(directory).sort((a, b) => a.n.localeCompare(b.n));
	expect(read).toEqual([
		expect.objectContaining(record("aaaaaa1")),
		expect.objectContaining(record("aaaaaa2", { key: "value" })),
	]);
	first.release();
	const third = promises.make(record("aaaaaa3"));
	if (third === undefined) throw new Error("no slot");
	write(third.note);
	expect(readPromises(directory).map(({ n }) => n)).toContain("aaaaaa3");
	expect(readPromises(directory).map(({ n }) => n)).not.toContain("aaaaaa1");
});

test("never writes beyond the bytes that the file has", () => {
	const promises = new Promises(directory);
	const notes: NoteInPlace[] = [];
	for (;;) {
		const promised = promises.make(record(`aaaaaa${notes.length.toString(36)}`));
		if (promised === undefined) break;
		notes.push(promised.note);
	}
	expect(notes.length).toBeGreaterThan(8);
	expect(new Set(notes.map(({ offset }) => offset)).size).toBe(notes.length);
	const size = statSync(notes[0]?.file ?? "").size;
	for (const { offset, bytes } of notes) expect(offset + bytes.length).toBeLessThanOrEqual(size);
});

test("promises nothing for a record that has no room in a slot", () => {
	const promises = new Promises(directory);
	expect(promises.make(record("aaaaaa1", { long: "x".repeat(4096) }))).toBeUndefined();
});

test("takes a slot that was written in part for none", () => {
	const promises = new Promises(directory);
	const whole = promises.make(record("aaaaaa1"));
	const torn = promises.make(record("aaaaaa2"));
	if (whole === undefined || torn === undefined) throw new Error("no slot");
	write(whole.note);
	for (const length of [0, 40, 64, 65, 200]) {
		write({ ...torn.note, bytes: torn.note.bytes.subarray(0, length) });
		expect(readPromises(directory).map(({ n }) => n)).toEqual(["aaaaaa1"]);
	}
});

test("knows nothing any more of what was withdrawn", () => {
	const promised = new Promises(directory).make(record("aaaaaa1"));
	if (promised === undefined) throw new Error("no slot");
	write(promised.note);
	write(promised.withdrawal);
	expect(readPromises(directory)).toEqual([]);
});

test("leaves its file where a promise was not kept, for the next to keep it", () => {
	const promises = new Promises(directory);
	const promised = promises.make(record("aaaaaa1"));
	if (promised === undefined) throw new Error("no slot");
	write(promised.note);
	promises.close();
	expect(readPromises(directory)).toHaveLength(1);
	promised.release();
	promises.close();
	expect(readPromises(directory)).toEqual([]);
});
