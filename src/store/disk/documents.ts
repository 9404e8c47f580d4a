/** `documents/<sha256>`: files of the rooms above, named by their digest; see Documents in contract.ts. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import path from "node:path";
import { LamellaError } from "../../errors/index.ts";
import { digestOf } from "../../layer/index.ts";
import type { Documents } from "../contract.ts";
import type { Database } from "../database/database.ts";
import { isNamed } from "../database/records.ts";
import { errnoOf } from "../failure.ts";
import { DIGEST_PREFIX, documentPath, type Layout } from "./layout.ts";

/** `stagedPath` gives a path in staging/; `flush` flushes a directory. */
export function documentsAt(
	layout: Layout,
	{
		stagedPath,
		flush,
	}: { readonly stagedPath: () => string; readonly flush: (directory: string) => Promise<void> },
): Documents {
	return {
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
		get(digest) {
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
				{
					path: file,
				},
			);
		},
	};
}

/** Deletes the file called `name` in documents/ unless a record names it. Call it within a transaction. */
export function deleteDocument(database: Database, layout: Layout, name: string): void {
	if (!isNamed(database, DIGEST_PREFIX + name)) rmSync(path.join(layout.documents, name), { force: true });
}
