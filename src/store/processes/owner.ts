/**
 * An owner is one opening of the store by one process. Its directory `staging/<owner>/` is flocked for as long as
 * it lives, so that others can tell what was left by the dead from what is in the making. Names of layers
 * and of trash begin with their owner's six characters.
 */
import { randomInt } from "node:crypto";
import { closeSync, fstatSync, mkdirSync, openSync, rmdirSync, statSync } from "node:fs";
import path from "node:path";
import * as linux from "../../linux/index.ts";
import type { Layout } from "../disk/layout.ts";

const OWNER_CHARACTERS = 6;
const OWNER_RANGE = 36 ** OWNER_CHARACTERS;

export class Owner {
	readonly name: string;
	/** Where this owner's layers are made. */
	readonly directory: string;
	readonly #fd: number;
	#count = 0;

	private constructor(name: string, directory: string, fd: number) {
		this.name = name;
		this.directory = directory;
		this.#fd = fd;
	}

	static claim(layout: Layout): Owner {
		for (;;) {
			const name = randomInt(OWNER_RANGE).toString(36).padStart(OWNER_CHARACTERS, "0");
			const directory = path.join(layout.staging, name);
			try {
				mkdirSync(directory, { mode: 0o710 });
			} catch (error) {
				if (codeOf(error) === "EEXIST") continue;
				throw error;
			}
			// Before the lock was taken, a sweeper may have taken the directory for a dead owner's: then another name.
			const fd = lockDirectory(directory);
			if (fd !== undefined) return new Owner(name, directory, fd);
		}
	}

	/** A name that nobody else gives: for a layer's directory, a staged one, or trash. */
	nextName(): string {
		return this.name + (this.#count++).toString(36);
	}

	/** Ends the ownership. The directory should be empty by now. */
	release(): void {
		try {
			rmdirSync(this.directory);
		} catch (error) {
			// What is left in it is for a sweeper: without the lock it is a dead owner's.
			if (codeOf(error) !== "ENOTEMPTY" && codeOf(error) !== "ENOENT") throw error;
		} finally {
			closeSync(this.#fd);
		}
	}
}

/** The owner whose `nextName` gave this name. */
export function ownerOf(name: string): string {
	return name.slice(0, OWNER_CHARACTERS);
}

/**
 * Takes a dead owner's place: returns the fd of its locked directory (the caller closes it), or undefined where
 * the owner lives or its directory is gone.
 */
export function seizeOwner(layout: Layout, owner: string): number | undefined {
	return lockDirectory(path.join(layout.staging, owner));
}

/** Whether an owner is alive. One that released has no directory any more. */
export function ownerLives(layout: Layout, owner: string): boolean {
	const directory = path.join(layout.staging, owner);
	const fd = lockDirectory(directory);
	if (fd === undefined) return statSync(directory, { throwIfNoEntry: false }) !== undefined;
	closeSync(fd);
	return false;
}

function lockDirectory(directory: string): number | undefined {
	let fd: number;
	try {
		fd = openSync(directory, linux.O_RDONLY | linux.O_DIRECTORY);
	} catch (error) {
		if (codeOf(error) === "ENOENT") return undefined;
		throw error;
	}
	let locked = false;
	try {
		if (!linux.flock(fd, linux.LOCK_EX | linux.LOCK_NB)) return undefined;
		const there = statSync(directory, { throwIfNoEntry: false, bigint: true });
		const held = fstatSync(fd, { bigint: true });
		locked = there !== undefined && there.ino === held.ino && there.dev === held.dev;
		return locked ? fd : undefined;
	} finally {
		if (!locked) closeSync(fd);
	}
}

function codeOf(error: unknown): unknown {
	return error instanceof Error ? Reflect.get(error, "code") : undefined;
}
