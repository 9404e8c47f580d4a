/**
 * The directories from where a walk began down to where it is, held open: the deepest OPEN_MAX of them. Those above are
 * opened again by `..` on the way back, so that a tree of any depth takes a bounded number of descriptors.
 */
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";

const OPEN_MAX = 64;
const CHILD_FLAGS = linux.O_RDONLY | linux.O_DIRECTORY | linux.O_NOFOLLOW;

interface Level {
	/** -1 while closed. */
	fd: number;
	/** Known of what is closed. */
	dev: bigint;
	ino: bigint;
}

export class DirectoryStack implements Disposable {
	readonly #baseFd: number;
	readonly #levels: Level[] = [];

	/** `baseFd` stays the caller's to close. */
	constructor(baseFd: number) {
		this.#baseFd = baseFd;
	}

	/** Of the deepest directory. Another one after each `enter`, `push` and `leave`. */
	get fd(): number {
		return this.#levels.at(-1)?.fd ?? this.#baseFd;
	}

	/** Opens the directory `name` in the deepest one, never through a symbolic link. @throws {SystemError} */
	enter(name: Buffer): void {
		this.push(linux.openat(this.fd, name, CHILD_FLAGS));
	}

	/** Takes over a descriptor of a directory in the deepest one. */
	push(fd: number): void {
		this.#levels.push({ fd, dev: 0n, ino: 0n });
		const far = this.#levels.at(-1 - OPEN_MAX);
		if (far === undefined || far.fd === -1) return;
		const { dev, ino } = linux.fstat(far.fd);
		linux.close(far.fd);
		far.fd = -1;
		far.dev = dev;
		far.ino = ino;
	}

	/** Closes the deepest directory. @throws {LamellaError} `EBUSY` where it is not below the one that it was */
	leave(): void {
		const level = this.#levels.pop();
		if (level === undefined) return;
		try {
			const parent = this.#levels.at(-1);
			if (parent?.fd === -1) reopen(parent, level.fd);
		} finally {
			linux.close(level.fd);
		}
	}

	[Symbol.dispose](): void {
		for (const { fd } of this.#levels.splice(0)) if (fd !== -1) linux.close(fd);
	}
}

/** Goes up by `..`, and makes sure that this is the directory that it was: somebody may have moved things. */
function reopen(level: Level, childFd: number): void {
	level.fd = linux.openat(childFd, "..", CHILD_FLAGS);
	const { dev, ino } = linux.fstat(level.fd);
	if (dev === level.dev && ino === level.ino) return;
	throw new LamellaError(
		"EBUSY",
		"a directory was moved while the tree that it is in was walked; stop what changes the layer, and try again",
	);
}
