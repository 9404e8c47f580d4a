/** `documents/<sha256>`: files of the rooms above, named by their digest; see Documents in contract.ts. */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import path from "node:path";
import { LamellaError } from "../../errors/index.ts";
import { type Digest, digestOf } from "../../layer/index.ts";
import type { Documents } from "../contract.ts";
import type { Database } from "../database/database.ts";
import { isNamed, readRecordFiles } from "../database/records.ts";
import { errnoOf } from "../failure.ts";
import { flush } from "./flush.ts";
import { DIGEST_PREFIX, documentPath, type Layout } from "./layout.ts";

/** `stagedPath` gives a path in staging/. */
export function documentsAt(
	layout: Layout,
	stagedPath: () => string,
	discard: (digests: readonly Digest[]) => Promise<void>,
): Documents {
	return {
		discard,
		async put(bytes) {
			const digest = digestOf(bytes);
			const file = documentPath(layout, digest);
			if (existsSync(file)) return digest;
			const staged = stagedPath();
			try {
				const handle = await open(staged, "wx", 0o600);
				try {
					await handle.writeFile(bytes);
					await handle.sync();
				} finally {
					await handle.close();
				}
				await rename(staged, file);
			} catch (error) {
				await rm(staged, { force: true });
				throw error;
			}
			await flush(layout.documents);
			return digest;
		},
		get: (digest) => readDocument(layout, digest),
	};
}

/** @throws {LamellaError} `ENOTFOUND`, `ECORRUPT` where the file is not what its name says */
export function readDocument(layout: Layout, digest: Digest): Buffer {
	const file = documentPath(layout, digest);
	let bytes: Buffer;
	try {
		bytes = readFileSync(file);
	} catch (cause) {
		if (errnoOf(cause) !== "ENOENT") throw cause;
		throw new LamellaError("ENOTFOUND", `document ${digest} is missing (${file})`, { path: file, cause });
	}
	if (digestOf(bytes) === digest) return bytes;
	throw new LamellaError(
		"ECORRUPT",
		`document ${digest} is damaged: its content has another digest (${file})`,
		{ path: file },
	);
}

/** Deletes the file called `name` in documents/ unless a record names it. Call it within a transaction. */
export function deleteDocument(database: Database, layout: Layout, name: string): void {
	if (!isNamed(database, DIGEST_PREFIX + name)) rmSync(path.join(layout.documents, name), { force: true });
}

/**
 * Deletes documents that no record names, nor the file of one that an older database has forgotten. Only for a process that
 * is alone at the store: others may be about to name one.
 */
export function sweepDocuments(database: Database, layout: Layout): void {
	const named = new Set<string>(
		database.all<{ digest: string }>("SELECT digest FROM record_documents").map(({ digest }) => digest),
	);
	const unnamed = readdirSync(layout.documents).filter((name) => !named.has(DIGEST_PREFIX + name));
	if (unnamed.length === 0) return;
	for (const [, { documents }] of readRecordFiles(layout)) for (const digest of documents) named.add(digest);
	for (const name of unnamed) if (!named.has(DIGEST_PREFIX + name)) deleteDocument(database, layout, name);
}
