/**
 * Owns the trial that decides whether packed layers work on a filesystem: a small image over a file is mounted, attached
 * nowhere, and overlayfs over it; a file is read, copied up and changed. Versions of kernels are not compared, since some that
 * should can not, and some that should not can; but for those that a trial would end.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { FileTree, writeImage } from "../../erofs/index.ts";
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import { makeDetachedOverlay } from "../overlay/mount-overlay.ts";
import { makeDetachedErofs } from "./mount-erofs.ts";

const BLOCK_BYTES = 512;
/** Linux 6.12 and 6.12.1 panic where an image with blocks of 512 bytes is mounted from a file (CVE-2024-56750). */
const PANICS = /^6\.12(\.[01])?(?![.\d])/;

const CONTENT = "content in a device";
const XATTR = "trusted.lamella.trial";

/**
 * Tries it in a directory of its own below `parent`, which is gone afterwards. Returns what is wrong; undefined where it works.
 * @throws {SystemError} where `parent` itself cannot be written to
 */
export function probePacked(parent: string, overlayOptions: readonly string[]): LamellaError | undefined {
	if (PANICS.test(os.release())) return refusal(`Linux ${os.release()} would end at the trial`);
	const directory = mkdtempSync(path.join(parent, "probe-"));
	const open: number[] = [];
	try {
		const wrong = tryIn(directory, overlayOptions, open);
		return wrong === undefined ? undefined : refusal(wrong);
	} catch (cause) {
		if (!linux.isSystemError(cause)) throw cause;
		return refusal(cause.message, cause);
	} finally {
		for (const fd of open.reverse()) linux.close(fd);
		rmSync(directory, { recursive: true, force: true });
	}
}

/** Says what does not work. Open mounts are added to `open`, and gone when they are closed. */
function tryIn(directory: string, options: readonly string[], open: number[]): string | undefined {
	const at = (name: string): string => path.join(directory, name);
	for (const name of ["upper", "work"]) mkdirSync(at(name));
	writeFileSync(at("device"), `${"\0".repeat(BLOCK_BYTES)}${CONTENT.padEnd(BLOCK_BYTES, "\0")}`);
	writeFileSync(at("image"), trialImage());
	const device = linux.openat(linux.AT_FDCWD, at("device"), linux.O_RDONLY);
	open.push(device);
	const image = makeDetachedErofs(at("image"), [device]);
	open.push(image);
	const merged = makeDetachedOverlay({
		lowers: [`/proc/self/fd/${image}`],
		upper: { directory: at("upper"), work: at("work") },
		options,
	});
	open.push(merged);
	if (linux.lgetxattrAt(merged, "file", XATTR)?.toString() !== "y") return "an xattr is not seen";
	if (read(merged, "file") !== CONTENT) return "a file is read wrong";
	linux.fchmodat(merged, "file", 0o600);
	return read(merged, "file") === CONTENT ? undefined : "a file is copied up wrong";
}

/** One file, whose content is the second block of a device. */
function trialImage(): Uint8Array {
	const tree = new FileTree();
	const inode = tree.newInode();
	tree.inodes.setMode(inode, linux.S_IFREG | 0o644);
	tree.inodes.setContent(inode, CONTENT.length, 1, 1);
	tree.inodes.setXattrs(inode, tree.internXattrs([{ name: Buffer.from(XATTR), value: Buffer.from("y") }]));
	const name = Buffer.from("file");
	tree.insert(tree.root, name, 0, name.length, inode);
	return writeImage(tree, { devices: [{ tag: "trial", sizeBytes: 2 * BLOCK_BYTES }] });
}

function read(directory: number, name: string): string {
	const fd = linux.openat(directory, name, linux.O_RDONLY);
	try {
		const content = Buffer.alloc(BLOCK_BYTES);
		return content.toString("utf8", 0, linux.read(fd, content));
	} finally {
		linux.close(fd);
	}
}

function refusal(what: string, cause?: unknown): LamellaError {
	return new LamellaError(
		"ENOTSUPPORTED",
		`packed layers do not work here (${what}); they need Linux 6.12 with EROFS that can be mounted from files. Use the overlay driver`,
		{ cause },
	);
}
