/** What a store does about files of it that cannot be read, are something else, or were left by killed processes. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { makeFilesystem } from "../../test/support/filesystems.ts";
import { makeDetachedErofs } from "../driver/packed/mount-erofs.ts";
import { FileTree, writeImage } from "../erofs/index.ts";
import * as linux from "../linux/index.ts";
import type { LayerStore } from "./contract.ts";
import { parseLayerId as id } from "./layer-id.ts";
import { openLayerStore } from "./open-store.ts";

const BLOCK_BYTES = 512;
const MIB = 2 ** 20;

async function apply(store: LayerStore, name: string, bytes: number): Promise<string> {
	const tar = new Uint8Array(bytes);
	const { directory } = await store.applyLayer(id(name), Readable.from([tar]));
	return directory;
}

/** Mounts over `file` one of the same size and time that says EIO to whoever reads it. */
function makeUnreadable(file: string, scratch: string): Disposable {
	const { sizeBytes, mtimeNs } = linux.fstatat(linux.AT_FDCWD, file);
	const tree = new FileTree();
	const inode = tree.newInode();
	tree.inodes.setMode(inode, linux.S_IFREG | 0o400);
	tree.inodes.setMtime(inode, Number(mtimeNs / 1_000_000_000n), Number(mtimeNs % 1_000_000_000n));
	tree.inodes.setContent(inode, sizeBytes, 1, 0);
	const name = Buffer.from("file");
	tree.insert(tree.root, name, 0, name.length, inode);
	const image = path.join(scratch, "image");
	const device = path.join(scratch, "device");
	writeFileSync(image, writeImage(tree, { devices: [{ tag: "device", sizeBytes }] }));
	writeFileSync(device, new Uint8Array(Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES));
	const fd = linux.openat(linux.AT_FDCWD, device, linux.O_RDONLY);
	const mount = makeDetachedErofs(image, [fd]);
	const at = path.join(scratch, "mnt");
	mkdirSync(at);
	linux.moveMount(mount, "", linux.AT_FDCWD, at, linux.MOVE_MOUNT_F_EMPTY_PATH);
	execFileSync("mount", ["--bind", path.join(at, "file"), file]);
	truncateSync(device, 0);
	return {
		[Symbol.dispose]: () => {
			linux.umount2(file);
			linux.close(mount);
			linux.close(fd);
			linux.umount2(at, linux.MNT_DETACH);
		},
	};
}

test("a check tells of a file that cannot be read, and looks at the other layers", async () => {
	using disk = makeFilesystem("ext4", 64 * MIB);
	const scratch = path.join(disk.path, "scratch");
	mkdirSync(scratch);
	await using store = await openLayerStore({ root: path.join(disk.path, "root"), driver: "packed" });
	const one = await apply(store, "one", 2 * BLOCK_BYTES);
	await apply(store, "other", 4 * BLOCK_BYTES);
	using _ = makeUnreadable(path.join(one, "layer.tar"), scratch);
	expect(await store.check({ deep: true })).toMatchObject({
		layers: 2,
		findings: [{ kind: "content-damaged", layer: "one", message: expect.stringMatching(/: pread: EIO/) }],
	});
});

test("an image that is a directory is named, and made again when it is gone", async () => {
	using disk = makeFilesystem("ext4", 64 * MIB);
	await using store = await openLayerStore({ root: disk.path, driver: "packed" });
	const image = path.join(await apply(store, "one", 2 * BLOCK_BYTES), "root.erofs");
	mkdirSync(image);
	await expect(store.mount(id("one"))).rejects.toMatchObject({
		code: "ECORRUPT",
		path: image,
		message: expect.stringContaining("delete it, and it is made again"),
	});
	expect(await store.check()).toMatchObject({ findings: [{ kind: "derived-damaged", path: image }] });
	rmdirSync(image);
	await using mount = await store.mount(id("one"));
	expect(readdirSync(mount.path)).toEqual([]);
});

test("what killed processes left in mounts/ is swept, and what is mounted stays", async () => {
	using disk = makeFilesystem("ext4", 64 * MIB);
	const mounts = path.join(disk.path, "mounts");
	{
		await using store = await openLayerStore({ root: disk.path });
		for (const name of ["held", "begun", "ended", "gone"]) await store.create(id(name));
		const nameOf = (name: string): string => path.basename(store.get(id(name)).mountPoint);
		for (const name of ["held", "ended"]) await store.mount(id(name));
		// Killed between making the directory and the mount.
		mkdirSync(path.join(mounts, nameOf("begun")));
		// Killed between the end of the mount and the record of it, or of its directory.
		linux.umount2(path.join(mounts, nameOf("ended")));
		writeFileSync(path.join(mounts, `${nameOf("ended")}.json.next`), "{");
		const gone = nameOf("gone");
		await store.remove(id("gone"));
		mkdirSync(path.join(mounts, gone));
		writeFileSync(path.join(mounts, `${gone}.json`), "{}");
	}
	await using store = await openLayerStore({ root: disk.path });
	const { mountPoint } = store.get(id("held"));
	expect(readdirSync(mounts).sort()).toEqual([
		path.basename(mountPoint),
		`${path.basename(mountPoint)}.json`,
	]);
	expect(store.get(id("held")).mountCount).toBe(1);
	await store.unmount(id("held"));
	expect(existsSync(mountPoint)).toBe(false);
	rmSync(mounts, { recursive: true });
});
