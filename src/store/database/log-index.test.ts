import { statSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { makeFilesystem } from "../../../test/support/filesystems.ts";
import { Database } from "./database.ts";
import { LogIndex } from "./log-index.ts";

const INDEX_BYTES = 32 * 1024;

for (const { blockBytes, isNeeded } of [
	{ blockBytes: 1024, isNeeded: true },
	{ blockBytes: 4096, isNeeded: false },
]) {
	it(`has all blocks of the index set aside where they have ${blockBytes} bytes, by ${isNeeded ? "us" : "SQLite"}`, () => {
		using disk = makeFilesystem("ext4", 64 * 2 ** 20, { mkfs: ["-b", String(blockBytes)] });
		const file = path.join(disk.path, "db");
		expect(LogIndex.isNeeded(file)).toBe(isNeeded);
		const database = Database.open(file, { make: true });
		expect(statSync(`${file}-shm`).blocks * 512).toBeGreaterThanOrEqual(INDEX_BYTES);
		database.close();
	});
}
