/**
 * A mounted layer, and files in it by paths that mean what they mean inside. Joining `mount.path` and a path of the image
 * does not do that: an image may have a symbolic link there that leads to the host's own files.
 */
import { type FileHandle, open } from "node:fs/promises";
import path from "node:path";
import { type ErrorCode, escapePath, LamellaError } from "../errors/index.ts";
import * as linux from "../linux/index.ts";
import type { Mount } from "../store/index.ts";

/** A path inside a layer, from its root directory; bytes where the name is not UTF-8. */
export type InnerPath = string | Uint8Array;

/** What a path means, held open: until it is closed, `path` leads there, whatever is renamed meanwhile. */
export interface ResolvedPath extends Disposable {
	/** `/proc/self/fd/N`, for functions of node:fs in this process. */
	readonly path: string;
	/** Twice is harmless. */
	close(): void;
}

/** As fs.open has them. */
export type OpenFlags = "r" | "r+" | "w" | "wx" | "w+" | "wx+" | "a" | "ax" | "a+";

const FLAGS: Readonly<Record<OpenFlags, number>> = {
	r: linux.O_RDONLY,
	"r+": linux.O_RDWR,
	w: linux.O_WRONLY | linux.O_CREAT | linux.O_TRUNC,
	wx: linux.O_WRONLY | linux.O_CREAT | linux.O_EXCL,
	"w+": linux.O_RDWR | linux.O_CREAT | linux.O_TRUNC,
	"wx+": linux.O_RDWR | linux.O_CREAT | linux.O_EXCL,
	a: linux.O_WRONLY | linux.O_CREAT | linux.O_APPEND,
	ax: linux.O_WRONLY | linux.O_CREAT | linux.O_EXCL | linux.O_APPEND,
	"a+": linux.O_RDWR | linux.O_CREAT | linux.O_APPEND,
};

const ONLY_ONCE = linux.O_CREAT | linux.O_EXCL | linux.O_TRUNC;

/**
 * A layer's mount, as `store.mount` returns it. Its methods resolve paths with the layer's root as `/`: symbolic links and
 * `..` never lead out, and only regular files are opened.
 *
 * They throw `ENOTFOUND`, `EEXISTS`, `EINVALID` (no regular file, no directory, unmounted already), `EPERMISSION` (a view),
 * `ENOSPACE`, `ESYSTEM`.
 */
export class MountedLayer implements Mount {
	/** Where the layer's tree is on the host. */
	readonly path: string;
	readonly #mount: Mount;
	readonly #layer: string;
	readonly #root: linux.Stat;
	#isUnmounted = false;

	/** @internal Use `store.mount`. */
	constructor(layer: string, mount: Mount) {
		this.#layer = layer;
		this.#mount = mount;
		this.path = mount.path;
		this.#root = linux.fstatat(linux.AT_FDCWD, mount.path);
	}

	/** Gives this hold back; the last one unmounts. Twice is harmless. */
	async unmount(): Promise<void> {
		if (this.#isUnmounted) return;
		await this.#mount.unmount();
		this.#isUnmounted = true;
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.unmount();
	}

	/** Opens a regular file, as fs.open does. `mode` is that of a new one. */
	async open(inner: InnerPath, flags: OpenFlags = "r", mode: number = 0o666): Promise<FileHandle> {
		const fd = this.#inRoot("open", inner, (root) => {
			const opened = linux.openFileInRoot(root, inner, FLAGS[flags], mode);
			if (opened !== undefined) return opened;
			throw this.#invalid(`cannot open ${shown(inner)} in layer "${this.#layer}": it is no regular file`);
		});
		try {
			return await open(`/proc/self/fd/${fd}`, FLAGS[flags] & ~ONLY_ONCE);
		} finally {
			linux.close(fd);
		}
	}

	/** The content of a regular file; text where there is an encoding. */
	readFile(inner: InnerPath): Promise<Buffer>;
	readFile(inner: InnerPath, encoding: BufferEncoding): Promise<string>;
	async readFile(inner: InnerPath, encoding?: BufferEncoding): Promise<Buffer | string> {
		await using file = await this.open(inner);
		return await file.readFile(encoding ?? null);
	}

	/** Writes a regular file; what was in it is replaced. */
	async writeFile(
		inner: InnerPath,
		data: string | Uint8Array,
		{ flag = "w", mode }: { readonly flag?: OpenFlags; readonly mode?: number } = {},
	): Promise<void> {
		await using file = await this.open(inner, flag, mode);
		await file.writeFile(data);
	}

	/** Makes a directory; with `recursive` also those above it, and one that is there is no error. */
	async mkdir(
		inner: InnerPath,
		{ recursive = false, mode = 0o777 }: { readonly recursive?: boolean; readonly mode?: number } = {},
	): Promise<void> {
		this.#inRoot("make directory", inner, (root) => {
			const text = Buffer.from(inner).toString("latin1");
			if (recursive) makeDirectories(root, text, mode);
			else makeOne(root, text, mode);
		});
	}

	/**
	 * Finds what a path means: a file or directory of any kind. For all that has no method here: list the directory, or
	 * remove and rename by `${resolved.path}/name`. Close it, or bind it with `using`: it keeps the mount busy.
	 */
	resolve(inner: InnerPath): ResolvedPath {
		let fd = this.#inRoot("resolve", inner, (root) => linux.openInRoot(root, inner, linux.O_PATH));
		const close = (): void => {
			if (fd !== -1) linux.close(fd);
			fd = -1;
		};
		return { path: `/proc/self/fd/${fd}`, close, [Symbol.dispose]: close };
	}

	#inRoot<T>(doing: string, inner: InnerPath, work: (root: number) => T): T {
		// Another may have unmounted it by force: what is at its path then is not the layer.
		const there = this.#isUnmounted ? undefined : linux.tryFstatat(linux.AT_FDCWD, this.path);
		if (there === undefined || there.dev !== this.#root.dev || there.ino !== this.#root.ino)
			throw this.#invalid(`layer "${this.#layer}" is unmounted; mount it again to ${doing}`);
		const root = linux.openat(linux.AT_FDCWD, this.path, linux.O_PATH | linux.O_DIRECTORY);
		try {
			return work(root);
		} catch (error) {
			if (!linux.isSystemError(error)) throw error;
			const [code, why] = REASONS[error.code] ?? ["ESYSTEM", error.message];
			const message = `cannot ${doing} ${shown(inner)} in layer "${this.#layer}": ${why}`;
			throw new LamellaError(code, message, { layer: this.#layer, path: error.path, cause: error });
		} finally {
			linux.close(root);
		}
	}

	#invalid(message: string): LamellaError {
		return new LamellaError("EINVALID", message, { layer: this.#layer });
	}
}

const REASONS: Readonly<Record<string, readonly [ErrorCode, string]>> = {
	ENOENT: ["ENOTFOUND", "it, or a directory above it, is not there"],
	ENOTDIR: ["EINVALID", "something on the way is no directory"],
	EISDIR: ["EINVALID", "it is a directory"],
	ELOOP: ["EINVALID", "its symbolic links go round in a circle"],
	EEXIST: ["EEXISTS", "it exists already"],
	EROFS: ["EPERMISSION", "the layer is mounted read-only"],
	EPERM: ["EPERMISSION", "not permitted"],
	EACCES: ["EPERMISSION", "permission denied; run as root"],
	ENOSPC: ["ENOSPACE", "the disk is full; make room and try again"],
	EDQUOT: ["ENOSPACE", "the disk quota is used up; make room and try again"],
};

const shown = (inner: InnerPath): string => escapePath(Buffer.from(inner));

/** `text` has a byte a character. */
function makeOne(root: number, text: string, mode: number): void {
	const bytes = (part: string): Buffer => Buffer.from(part, "latin1");
	const parent = linux.openInRoot(root, bytes(path.posix.dirname(text)), linux.O_PATH | linux.O_DIRECTORY);
	try {
		linux.mkdirat(parent, bytes(path.posix.basename(text) || "."), mode);
	} finally {
		linux.close(parent);
	}
}

function makeDirectories(root: number, text: string, mode: number): void {
	try {
		makeOne(root, text, mode);
	} catch (error) {
		if (linux.isSystemError(error, "EEXIST")) {
			// A directory, or a link to one, will do; else this says what is wrong.
			linux.close(linux.openInRoot(root, Buffer.from(text, "latin1"), linux.O_PATH | linux.O_DIRECTORY));
			return;
		}
		if (!linux.isSystemError(error, "ENOENT") || path.posix.dirname(text) === text) throw error;
		makeDirectories(root, path.posix.dirname(text), mode);
		makeOne(root, text, mode);
	}
}
