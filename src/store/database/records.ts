/**
 * Records of the rooms above: rows of the database, and for a rebuild of it one file each,
 * `records/<namespace>/<sha256 of the key>.json`, which is written aside within the transaction and put in its place before
 * that is acknowledged.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import path from "node:path";
import { LamellaError } from "../../errors/index.ts";
import type { Digest } from "../../layer/index.ts";
import type { PutOptions, RecordsWriter } from "../contract.ts";
import { flush } from "../disk/flush.ts";
import { documentPath, type Layout } from "../disk/layout.ts";
import type { Database } from "./database.ts";
import { recordsReader } from "./records-reader.ts";

const KEY_MAX_BYTES = 1024;

/** What a record's file holds. */
export interface RecordFile {
	readonly key: string;
	readonly value: unknown;
	readonly documents: readonly Digest[];
}

interface Change {
	readonly namespace: string;
	readonly key: string;
	/** Where the record's file was written aside, and what is in it. */
	staged?: string;
	text?: string;
}

/** The records that a transaction changes. */
export class RecordChanges {
	readonly #database: Database;
	readonly #layout: Layout;
	readonly #changed = new Map<string, Change>();
	/** Documents that no record names any more, as paths of the table `removed`. */
	readonly removed: Set<string> = new Set();

	constructor(database: Database, layout: Layout) {
		this.#database = database;
		this.#layout = layout;
	}

	get isEmpty(): boolean {
		return this.#changed.size === 0;
	}

	/** Call it when the transaction begins, which may be for the second time. */
	clear(): void {
		this.removeStaged();
		this.#changed.clear();
		this.removed.clear();
	}

	writer<T>(namespace: string): RecordsWriter<T> {
		return {
			...recordsReader<T>(this.#database, namespace),
			put: (key, value, { documents = [] }: PutOptions = {}) => {
				checkKey(key);
				this.#forgetDocuments(namespace, key);
				putRecord(this.#database, namespace, { key, value, documents });
				for (const digest of documents) this.#keepDocument(digest);
				this.#changed.set(`${namespace}/${key}`, { namespace, key });
			},
			remove: (key) => {
				this.#forgetDocuments(namespace, key);
				this.#database.run("DELETE FROM records WHERE namespace = ? AND key = ?", namespace, key);
				this.#changed.set(`${namespace}/${key}`, { namespace, key });
			},
		};
	}

	/**
	 * Writes the changed records' files aside, within the transaction: where they have no room, it fails as a whole.
	 * `stagedPath` gives a path in staging/.
	 */
	stageFiles(stagedPath: () => string): void {
		for (const change of this.#changed.values()) {
			const { namespace, key } = change;
			const value = recordsReader(this.#database, namespace).get(key);
			if (value === undefined) continue;
			mkdirSync(path.join(this.#layout.records, namespace), { recursive: true, mode: 0o710 });
			const documents = documentsOf(this.#database, namespace, key);
			change.staged = stagedPath();
			change.text = JSON.stringify({ key, value, documents } satisfies RecordFile);
			writeFileSync(change.staged, change.text, { mode: 0o600, flag: "wx" });
		}
	}

	/**
	 * Flushes the files and puts them in their places; returns the directories, which are still to be flushed. Call it after
	 * the transaction, with a lock that all processes take. A record that another process has changed since is left to that.
	 */
	async placeFiles(): Promise<string[]> {
		const directories = new Set<string>();
		for (const { namespace, key, staged, text } of this.#changed.values()) {
			const file = recordFileOf(this.#layout, namespace, key);
			const directory = path.dirname(file);
			const value = recordsReader(this.#database, namespace).get(key);
			if (value === undefined) await rm(file, { force: true });
			if (staged !== undefined && isOf(text, value)) {
				await flush(staged);
				await rename(staged, file);
			}
			if (existsSync(directory)) directories.add(directory).add(this.#layout.records);
		}
		return [...directories];
	}

	/** Removes what was written aside and not put in its place. */
	removeStaged(): void {
		for (const { staged } of this.#changed.values())
			if (staged !== undefined) rmSync(staged, { force: true });
	}

	#keepDocument(digest: Digest): void {
		if (!existsSync(documentPath(this.#layout, digest))) {
			throw new LamellaError(
				"ENOTFOUND",
				`document ${digest} was removed before a record named it; try again`,
			);
		}
		const file = removedPath(this.#layout, digest);
		this.#database.run("DELETE FROM removed WHERE path = ?", file);
		this.removed.delete(file);
	}

	/** Marks the documents that only this record names as removed. */
	#forgetDocuments(namespace: string, key: string): void {
		const digests = documentsOf(this.#database, namespace, key);
		this.#database.run("DELETE FROM record_documents WHERE namespace = ? AND key = ?", namespace, key);
		for (const digest of digests) {
			if (isNamed(this.#database, digest)) continue;
			const file = removedPath(this.#layout, digest);
			this.#database.run("INSERT OR IGNORE INTO removed VALUES (?)", file);
			this.removed.add(file);
		}
	}
}

/** Whether any record names a document. */
export function isNamed(database: Database, digest: string): boolean {
	return database.get("SELECT 1 FROM record_documents WHERE digest = ? LIMIT 1", digest) !== undefined;
}

/** Records what `readRecordFiles` found, for a rebuild. */
export function putRecord(
	database: Database,
	namespace: string,
	{ key, value, documents }: RecordFile,
): void {
	database.run("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", namespace, key, JSON.stringify(value));
	for (const digest of documents) {
		database.run("INSERT OR IGNORE INTO record_documents VALUES (?, ?, ?)", namespace, key, digest);
	}
}

/** Where a record's file is. */
export function recordFileOf(layout: Layout, namespace: string, key: string): string {
	return path.join(layout.records, namespace, `${createHash("sha256").update(key).digest("hex")}.json`);
}

/** All records that have a sound file. */
export function* readRecordFiles(layout: Layout): Iterable<readonly [namespace: string, file: RecordFile]> {
	for (const namespace of existsSync(layout.records) ? readdirSync(layout.records) : []) {
		for (const file of readdirSync(path.join(layout.records, namespace))) {
			if (!file.endsWith(".json")) continue;
			const record = readRecordFile(path.join(layout.records, namespace, file));
			if (record !== undefined) yield [namespace, record];
		}
	}
}

/** Undefined where the file is missing, or not whole. */
export function readRecordFile(file: string): RecordFile | undefined {
	return existsSync(file) ? parseFile(readFileSync(file, "utf8")) : undefined;
}

/** The documents that a record keeps alive. */
export function documentsOf(database: Database, namespace: string, key: string): Digest[] {
	return database
		.all<{ digest: Digest }>(
			"SELECT digest FROM record_documents WHERE namespace = ? AND key = ? ORDER BY digest",
			namespace,
			key,
		)
		.map(({ digest }) => digest);
}

function removedPath(layout: Layout, digest: Digest): string {
	return path.relative(layout.root, documentPath(layout, digest));
}

function checkKey(key: string): void {
	if (!key.includes("\0") && Buffer.byteLength(key) <= KEY_MAX_BYTES) return;
	throw new LamellaError(
		"EINVALID",
		`the key of a record has to have at most ${KEY_MAX_BYTES} bytes and no NUL`,
	);
}

function isOf(text: string | undefined, value: unknown): boolean {
	return (
		text !== undefined && JSON.stringify((JSON.parse(text) as RecordFile).value) === JSON.stringify(value)
	);
}

function parseFile(text: string): RecordFile | undefined {
	try {
		const { key, value, documents } = JSON.parse(text) as RecordFile;
		return typeof key === "string" && value !== undefined && Array.isArray(documents)
			? { key, value, documents }
			: undefined;
	} catch {
		// Not whole: a power cut came before its flush, and then the record was never acknowledged.
		return undefined;
	}
}
