/**
 * `<root>/reserve/`: a little room that the store keeps for when its disk is full. Opening the store and every
 * transaction need some blocks and inodes; without a reserve, the layers that fill the disk could not be removed. It is
 * given up when little is left, and taken back when there is room again.
 */
import { closeSync, mkdirSync, openSync, readdirSync, unlinkSync } from "node:fs";
import path from "node:path";
import * as linux from "../../linux/index.ts";
import { errnoOf } from "../failure.ts";

// Several files, for inodes can run out as well: opening a store makes some twenty files for a moment.
const FILE_COUNT = 32;
const FILE_BYTES = 64 * 1024;
/** Below this the reserve is given up: what an opening and its transactions need, several times over. */
export const LITTLE_BYTES: number = 1 << 20;
const LITTLE_FILES = 64;
/** The reserve is made only where this much is free. */
const PLENTY_BYTES = 16 * FILE_COUNT * FILE_BYTES;

export class Reserve {
	readonly #root: string;
	readonly #directory: string;
	/** Whether this process has given it up and not taken it back. */
	#spent = false;

	/** For the store at `root`, an existing directory. */
	constructor(root: string) {
		this.#root = root;
		this.#directory = path.join(root, "reserve");
	}

	/** Gives the reserve up where little is left. Returns whether little was left. */
	makeRoom(): boolean {
		const { bytes, files } = this.#free();
		if (bytes >= LITTLE_BYTES && files >= LITTLE_FILES) return false;
		for (const name of this.#files()) {
			this.#giveUp(name);
			this.#spent = true;
		}
		return true;
	}

	/** Sets aside what is missing, where there is plenty. */
	keep(): void {
		if (this.#files().length < FILE_COUNT && this.#free().bytes >= PLENTY_BYTES) this.#fill();
	}

	/** Takes back what this process gave up, as far as there is room. Call it when the work that needed it is done. */
	takeBack(): void {
		if (this.#spent) this.#fill();
	}

	/** Makes the files that are missing, as far as there is room: a precaution is no reason to fail. */
	#fill(): void {
		try {
			mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
			for (let i = 0; i < FILE_COUNT; i++) this.#setAside(String(i), FILE_BYTES);
			this.#spent = false;
		} catch (error) {
			if (errnoOf(error) === undefined) throw error;
		}
	}

	#setAside(name: string, sizeBytes: number): void {
		const file = path.join(this.#directory, name);
		let fd: number;
		try {
			fd = openSync(file, "wx", 0o600);
		} catch (error) {
			if (errnoOf(error) === "EEXIST") return;
			throw error;
		}
		try {
			linux.fallocate(fd, 0, 0, sizeBytes);
		} catch (error) {
			// Where blocks cannot be set aside, inodes still are.
			if (linux.isSystemError(error, "EOPNOTSUPP")) return;
			unlinkSync(file);
			throw error;
		} finally {
			closeSync(fd);
		}
	}

	#giveUp(name: string): void {
		try {
			unlinkSync(path.join(this.#directory, name));
		} catch (error) {
			// Another process may be giving it up too.
			if (errnoOf(error) !== "ENOENT") throw error;
		}
	}

	#files(): readonly string[] {
		try {
			return readdirSync(this.#directory);
		} catch (error) {
			if (errnoOf(error) === "ENOENT") return [];
			throw error;
		}
	}

	/** What can still be taken. Filesystems without a fixed number of inodes (btrfs) say 0 of 0. */
	#free(): { readonly bytes: number; readonly files: number } {
		const { availableBlocks, blockSize, files, freeFiles } = linux.statfs(this.#root);
		return { bytes: availableBlocks * blockSize, files: files === 0 ? Number.POSITIVE_INFINITY : freeFiles };
	}
}
