import { mkdirSync, readdirSync, statfsSync, statSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { fillDisk, makeFilesystem } from "../../../test/support/filesystems.ts";
import { Database } from "../database/database.ts";
import { Reserve } from "./reserve.ts";

const MIB = 2 ** 20;

function filesOf(root: string): string[] {
	return readdirSync(path.join(root, "reserve"));
}

describe("the reserve", () => {
	it("is set aside where there is plenty, and given up where little is left, and taken back", () => {
		using disk = makeFilesystem("ext4", 64 * MIB);
		const reserve = new Reserve(disk.path);
		reserve.keep();
		const files = filesOf(disk.path);
		expect(files).toHaveLength(32);
		const { blocks, blksize } = statSync(path.join(disk.path, "reserve", "0"));
		expect(blocks * 512).toBeGreaterThanOrEqual(64 * 1024);
		expect(blksize).toBeGreaterThan(0);
		expect(reserve.makeRoom()).toBe(false);
		expect(filesOf(disk.path)).toEqual(files);

		fillDisk(disk.path);
		expect(() => mkdirSync(path.join(disk.path, "one"))).toThrow("ENOSPC");
		expect(reserve.makeRoom()).toBe(true);
		expect(filesOf(disk.path)).toEqual([]);
		mkdirSync(path.join(disk.path, "one"));
		reserve.takeBack();
		expect(filesOf(disk.path).length).toBeGreaterThan(25);
	});

	it("gives inodes too", () => {
		using disk = makeFilesystem("ext4", 64 * MIB, { mkfs: ["-N", "200"] });
		const reserve = new Reserve(disk.path);
		reserve.keep();
		for (let i = 0; ; i++) {
			try {
				mkdirSync(path.join(disk.path, `d${i}`));
			} catch {
				// No inode is left, as was wanted.
				break;
			}
		}
		expect(statfsSync(disk.path).ffree).toBe(0);
		reserve.makeRoom();
		expect(statfsSync(disk.path).ffree).toBeGreaterThan(20);
	});

	it("is not set aside on a disk that has no room for it", () => {
		using disk = makeFilesystem("tmpfs", 8 * MIB);
		new Reserve(disk.path).keep();
		expect(readdirSync(disk.path)).toEqual([]);
	});
});

describe("the database on a full disk", () => {
	it("refuses a transaction in words, goes on when there is room, and takes the reserve to make some", async () => {
		using disk = makeFilesystem("ext4", 64 * MIB);
		const put = async (database: Database, name: string, value: string): Promise<void> =>
			await database.transaction(() =>
				database.run("INSERT OR REPLACE INTO facts VALUES (?, ?)", name, value),
			);
		const reserve = new Reserve(disk.path);
		reserve.keep();
		const database = Database.open(path.join(disk.path, "db"), { make: true, reserve });
		await put(database, "a", "1");
		const room = fillDisk(disk.path);
		await put(database, "b", "x".repeat(50_000));
		await database.flushed();
		const write = put(database, "c", "x".repeat(8 * MIB));
		await expect(write).rejects.toMatchObject({
			code: "ENOSPACE",
			message: expect.stringContaining(disk.path),
		});
		expect(database.get("SELECT 1 FROM facts WHERE name = 'b'")).toBeDefined();
		expect(database.get("SELECT 1 FROM facts WHERE name = 'c'")).toBeUndefined();
		room.free();
		await put(database, "c", "x".repeat(8 * MIB));
		expect(database.problem()).toBeUndefined();
		database.close();
	});
});
