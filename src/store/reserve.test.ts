import { mkdirSync, readdirSync, statfsSync, statSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { fillDisk, makeFilesystem } from "../../test/support/filesystems.ts";
import { openLmdbMetaStore } from "./lmdb-meta-store.ts";
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
		reserve.needRoom();
		expect(statfsSync(disk.path).ffree).toBeGreaterThan(20);
	});

	it("is not set aside on a disk that has no room for it", () => {
		using disk = makeFilesystem("tmpfs", 8 * MIB);
		new Reserve(disk.path).keep();
		expect(readdirSync(disk.path)).toEqual([]);
	});
});

describe("the database on a full disk", () => {
	it("refuses a transaction in words, goes on when there is room, and never ends the process", async () => {
		using disk = makeFilesystem("ext4", 32 * MIB);
		const reserve = new Reserve(disk.path);
		const meta = openLmdbMetaStore(disk.path, { reserve });
		await meta.transaction((transaction) => transaction.put("facts", "a", 1));
		const room = fillDisk(disk.path);
		const write = meta.transaction((transaction) => transaction.put("facts", "b", 2));
		await expect(write).rejects.toMatchObject({
			code: "ENOSPACE",
			message: expect.stringContaining(disk.path),
		});
		expect(meta.get("facts", "a")).toBe(1);
		room.free();
		await meta.transaction((transaction) => transaction.put("facts", "c", 3));
		expect(["a", "b", "c"].map((key) => meta.get("facts", key))).toEqual([1, undefined, 3]);
		await meta.close();
	});

	it("tells of a commit that fails all the same", async () => {
		using disk = makeFilesystem("ext4", 32 * MIB);
		const meta = openLmdbMetaStore(disk.path);
		await meta.transaction((transaction) => transaction.put("facts", "a", 1));
		const room = fillDisk(disk.path);
		// Without a reserve lmdb finds the disk full; a rejection that nobody hears fails the test run.
		for (let i = 0; i < 3; i++) {
			const write = meta.transaction((transaction) => transaction.put("facts", "b", "x".repeat(50_000)));
			await expect(write).rejects.toMatchObject({ code: "ENOSPACE" });
			await new Promise((resolve) => setTimeout(resolve, 10));
		}
		room.free();
		await meta.transaction((transaction) => transaction.put("facts", "c", 3));
		expect(["a", "b", "c"].map((key) => meta.get("facts", key))).toEqual([1, undefined, 3]);
		await meta.close();
	});
});
