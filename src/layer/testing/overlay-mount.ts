/** For tests: a real overlay mount over some lowers, and a directory that cleans up after itself. */
import { mkdirSync, mkdtempSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import * as linux from "../../linux/index.ts";
import { removeTree } from "../tree/remove.ts";

/** The directories of an overlay mount. */
export interface OverlayPlace {
	readonly upper: string;
	readonly merged: string;
}

/** A temporary directory and the mounts within it; disposing takes both away. */
export class Workplace implements Disposable {
	readonly directory: string = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
	readonly #mounts: string[] = [];
	#count = 0;

	/** A new empty directory. */
	make(name: string): string {
		const made = path.join(this.directory, `${this.#count++}-${name}`);
		mkdirSync(made);
		return made;
	}

	/** Has what is made from here on in memory: for trees so large that a disk would be waited for. */
	useMemory(): void {
		linux.mount("tmpfs", this.directory, "tmpfs", 0, "");
		this.#mounts.push(this.directory);
	}

	/**
	 * Mounts an overlay with a new upper over `lowers` (top first). The upper's root takes the metadata of the
	 * topmost lower's, as a driver does it.
	 */
	mount(lowers: readonly string[]): OverlayPlace {
		const upper = this.make("upper");
		const work = this.make("work");
		const merged = this.make("merged");
		copyRootMetadata(lowers[0], upper);
		const options = `lowerdir=${lowers.join(":")},upperdir=${upper},workdir=${work}`;
		const plain = "index=off,metacopy=off,redirect_dir=off,xino=off";
		linux.mount("overlay", merged, "overlay", 0, `${options},${plain}`);
		this.#mounts.push(merged);
		return { upper, merged };
	}

	unmount(merged: string): void {
		linux.umount2(merged, 0);
		this.#mounts.splice(this.#mounts.indexOf(merged), 1);
	}

	[Symbol.dispose](): void {
		for (const mounted of this.#mounts.reverse()) linux.umount2(mounted, linux.MNT_DETACH);
		removeTree(this.directory);
	}
}

function copyRootMetadata(lower: string | undefined, upper: string): void {
	if (lower === undefined) return;
	const stat = linux.fstatat(linux.AT_FDCWD, lower);
	linux.fchownat(linux.AT_FDCWD, upper, stat.uid, stat.gid);
	for (const name of linux.llistxattrAt(linux.AT_FDCWD, lower)) {
		const value = linux.lgetxattrAt(linux.AT_FDCWD, lower, name);
		if (value !== undefined && !name.toString("latin1").startsWith("trusted.overlay.")) {
			linux.lsetxattrAt(linux.AT_FDCWD, upper, name, value);
		}
	}
	linux.fchmodat(linux.AT_FDCWD, upper, stat.mode & 0o7777);
	linux.utimensat(linux.AT_FDCWD, upper, stat.atimeNs, stat.mtimeNs);
}
