/**
 * The driver's home: one driver at a time has it, and it may go away and come back as another directory.
 *
 * What is held open here keeps its inode from being given to a new file, so device and inode tell whether a path
 * still means what was opened.
 */
import { chownSync } from "node:fs";
import path from "node:path";
import { LamellaError } from "../errors/index.ts";
import { hostRoot, type IdMaps } from "../idmap/index.ts";
import * as linux from "../linux/index.ts";

const HOME_MODE = 0o710;
const LOCK_FILE = "graphdriver.lock";

/** A file or directory that is held open. @internal */
export class HeldPlace {
	readonly path: string;
	readonly #fd: number;

	constructor(path: string, fd: number) {
		this.path = path;
		this.#fd = fd;
	}

	/** Whether the path still means what is held. */
	isThere(): boolean {
		const named = linux.tryFstatat(linux.AT_FDCWD, this.path);
		const held = linux.fstat(this.#fd);
		return named !== undefined && named.dev === held.dev && named.ino === held.ino;
	}

	release(): void {
		linux.close(this.#fd);
	}
}

/** The layers of the store at `root`, to ask later whether they are still there. @internal */
export function holdLayers(root: string): HeldPlace {
	const layers = path.join(root, "layers");
	return new HeldPlace(layers, linux.openat(linux.AT_FDCWD, layers, linux.O_PATH | linux.O_DIRECTORY, 0));
}

/** A home that this process has for itself, until it is released. @internal */
export class Home {
	readonly #held: readonly HeldPlace[];

	private constructor(held: readonly HeldPlace[]) {
		this.#held = held;
	}

	/**
	 * Makes the home where there is none, and takes the lock of the store at `root`: the home itself, or that of others.
	 * @throws {LamellaError} `EBUSY`
	 */
	static claim(home: string, root: string, idMaps: IdMaps | undefined): Home {
		const lock = new HeldPlace(path.join(root, LOCK_FILE), takeLock(root));
		linux.makeDirectory(home, HOME_MODE);
		// A container's init in a user namespace walks through them to its root.
		const { uid, gid } = hostRoot(idMaps);
		const trees = root === home ? ["layers", "mounts"] : [];
		for (const name of ["", ...trees]) chownSync(path.join(home, name), uid, gid);
		return new Home([lock, holdLayers(root)]);
	}

	isThere(): boolean {
		return this.#held.every((held) => held.isThere());
	}

	release(): void {
		for (const held of this.#held) held.release();
	}
}

/** Two drivers over one store would not see each other's ids. The kernel gives the lock back when the process ends. */
function takeLock(root: string): number {
	const flags = linux.O_RDWR | linux.O_CREAT | linux.O_NOFOLLOW;
	const fd = linux.openat(linux.AT_FDCWD, path.join(root, LOCK_FILE), flags, 0o600);
	if (linux.flock(fd, linux.LOCK_EX | linux.LOCK_NB)) return fd;
	linux.close(fd);
	throw new LamellaError("EBUSY", `another process has the graph driver at ${root} open; stop it first`, {
		path: root,
	});
}
