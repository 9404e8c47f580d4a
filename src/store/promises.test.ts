import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { JobPool } from "../jobs/index.ts";
import { LAYER_JOBS, type LayerJobs, type Note } from "../layer/index.ts";
import { parseLayerId } from "./layer-id.ts";
import { openLmdbMetaStore } from "./lmdb-meta-store.ts";
import type { MetaStore } from "./meta-store.ts";
import { forgetPromises, hasPromised, Promises, readPromises } from "./promises.ts";
import type { LayerRecord } from "./schema.ts";

const KEY = parseLayerId("key ☃");
let directory: string;
let meta: MetaStore;
let jobs: JobPool<LayerJobs>;
let promises: Promises;

beforeEach(() => {
	directory = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
	meta = openLmdbMetaStore(path.join(directory, "metadata"));
	jobs = new JobPool<LayerJobs>(LAYER_JOBS);
	promises = new Promises(directory);
});

afterEach(async () => {
	await jobs.dispose();
	await meta.close();
	rmSync(directory, { recursive: true, force: true });
});

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

function make(n: string): NonNullable<ReturnType<Promises["make"]>> {
	const promised = promises.make(record(n), KEY);
	if (promised === undefined) throw new Error("no slot");
	return promised;
}

const write = (note: Note): Promise<unknown> => jobs.run("syncTrees", { directories: [], note });
const left = (): string[] =>
	readPromises(directory, meta)
		.map(({ record: { n } }) => n)
		.sort();

test("what is promised is read back, until the slot is used again", async () => {
	expect(left()).toEqual([]);
	const first = make("aaaaaa1");
	const second = promises.make(record("aaaaaa2", { key: "value" }), KEY);
	if (second === undefined) throw new Error("no slot");
	await write(first.note);
	await write(second.note);
	expect(left()).toEqual(["aaaaaa1", "aaaaaa2"]);
	const read = readPromises(directory, meta).find(({ record: { n } }) => n === "aaaaaa2");
	expect(read).toMatchObject({ record: record("aaaaaa2", { key: "value" }), key: KEY });
	expect(read?.tree).toBeUndefined();
	first.release();
	await write(make("aaaaaa3").note);
	expect(left()).toEqual(["aaaaaa2", "aaaaaa3"]);
});

test("a promise that the database knows to be kept is none any more, but the next one in its slot is", async () => {
	const first = make("aaaaaa1");
	await write(first.note);
	await meta.transaction(first.keep);
	expect(left()).toEqual([]);
	first.release();
	await write(make("aaaaaa2").note);
	expect(left()).toEqual(["aaaaaa2"]);
	const [promise] = readPromises(directory, meta);
	await meta.transaction((transaction) => promise?.keep(transaction));
	expect(left()).toEqual([]);
	const owner = path.basename(directory);
	expect(hasPromised(meta, owner)).toBe(true);
	await meta.transaction((transaction) => forgetPromises(transaction, owner));
	expect(hasPromised(meta, owner)).toBe(false);
});

test("never writes beyond the bytes that the file has", async () => {
	const notes: Note[] = [];
	for (;;) {
		const promised = promises.make(record(`aaaaaa${notes.length.toString(36)}`), KEY);
		if (promised === undefined) break;
		notes.push(promised.note);
	}
	expect(notes.length).toBeGreaterThan(8);
	expect(new Set(notes.map(({ offset }) => offset)).size).toBe(notes.length);
	const { size, blocks } = statSync(notes[0]?.file ?? "");
	for (const { offset, bytesMax } of notes) expect(offset + bytesMax).toBeLessThanOrEqual(size);
	// Flushing a block that is there already costs no commit of the journal.
	expect(blocks * 512).toBeGreaterThanOrEqual(size);
});

test("promises nothing for a record that has no room in a slot", () => {
	expect(promises.make(record("aaaaaa1", { long: "x".repeat(40_000) }), KEY)).toBeUndefined();
});

test("takes a slot that was written in part for none", async () => {
	await write(make("aaaaaa1").note);
	const { note } = make("aaaaaa2");
	await write(note);
	const whole = readFileSync(note.file);
	for (const length of [0, 31, 40, 200]) {
		const torn = Buffer.from(whole);
		torn.fill(0, note.offset + length, note.offset + note.bytesMax);
		writeFileSync(note.file, torn);
		expect(left()).toEqual(["aaaaaa1"]);
	}
});

test("knows nothing any more of what was withdrawn", async () => {
	const { note } = make("aaaaaa1");
	await write(note);
	await jobs.run("withdrawNote", note);
	expect(left()).toEqual([]);
});

test("leaves its file where a promise was not kept, for the next to keep it", async () => {
	const promised = make("aaaaaa1");
	await write(promised.note);
	expect(promises.close()).toBe(false);
	expect(left()).toHaveLength(1);
	promised.release();
	expect(promises.close()).toBe(true);
	expect(left()).toEqual([]);
});
