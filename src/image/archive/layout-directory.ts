/**
 * An image layout as a directory. Every file is opened below the directory by openat2: a symlink may lead to another
 * place in the directory, and never out of it. Files stay open until the content is closed, so that what was checked
 * is what is read.
 */
import fs from "node:fs";
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import { repositoryFromPath } from "../records/reference.ts";
import type { ImageContent, Located } from "./content.ts";

/** A directory of blobs has hundreds of files at most; open files are a limited good. */
const MAX_OPEN_FILES = 4096;

export class LayoutDirectory implements ImageContent {
	readonly description: string;
	readonly repository: string | undefined;
	readonly #directoryFd: number;
	readonly #files = new Map<string, { fd: number; sizeBytes: number }>();

	/** @throws {linux.SystemError} where `directory` cannot be opened as one. */
	constructor(directory: string) {
		this.description = directory;
		this.repository = repositoryFromPath(fs.realpathSync(directory));
		this.#directoryFd = linux.openat(linux.AT_FDCWD, directory, linux.O_RDONLY | linux.O_DIRECTORY);
	}

	find(name: string): Located | undefined {
		const known = this.#files.get(name);
		if (known !== undefined) return { ...located(known.fd), sizeBytes: known.sizeBytes };
		if (this.#files.size === MAX_OPEN_FILES) {
			throw new LamellaError(
				"EARCHIVE",
				`${this.description} has more than ${MAX_OPEN_FILES} files in use; no image needs so many`,
			);
		}
		let fd: number;
		try {
			// O_PATH: opening a device or FIFO for reading could block or do harm; what it is must be known first.
			fd = linux.openat2(this.#directoryFd, name, {
				flags: linux.O_PATH,
				resolve: linux.RESOLVE_BENEATH | linux.RESOLVE_NO_MAGICLINKS,
			});
		} catch (cause) {
			if (linux.isSystemError(cause, "ENOENT", "ENOTDIR")) return undefined;
			throw new LamellaError(
				"EARCHIVE",
				`${name} in ${this.description} cannot be opened: ${reason(cause)}`,
				{
					cause,
				},
			);
		}
		const stat = linux.fstat(fd);
		if (!linux.isRegular(stat)) {
			linux.close(fd);
			throw new LamellaError("EARCHIVE", `${name} in ${this.description} is not a regular file`);
		}
		this.#files.set(name, { fd, sizeBytes: stat.sizeBytes });
		return { ...located(fd), sizeBytes: stat.sizeBytes };
	}

	read(name: string, maxBytes: number): Buffer {
		const file = this.find(name);
		if (file === undefined)
			throw new LamellaError(
				"EARCHIVE",
				`${this.description} has no ${name}: it was not copied whole; fetch it again`,
			);
		return readLocated(file, maxBytes, `${name} in ${this.description}`);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const { fd } of this.#files.values()) linux.close(fd);
		this.#files.clear();
		linux.close(this.#directoryFd);
	}
}

/** Reads a whole located file. @throws {LamellaError} `EARCHIVE` where it is larger than `maxBytes`, or ends early */
export function readLocated(file: Located, maxBytes: number, what: string): Buffer {
	if (file.sizeBytes > maxBytes) {
		throw new LamellaError(
			"EARCHIVE",
			`${what} has ${file.sizeBytes} bytes; no more than ${maxBytes} are read for such a document`,
		);
	}
	const fd = fs.openSync(file.path, "r");
	try {
		const bytes = Buffer.alloc(file.sizeBytes);
		let done = 0;
		while (done < bytes.length) {
			const count = fs.readSync(fd, bytes, done, bytes.length - done, file.offset + done);
			if (count === 0)
				throw new LamellaError(
					"EARCHIVE",
					`${what} ends after ${done} of ${bytes.length} bytes: it was cut off; fetch it again`,
				);
			done += count;
		}
		return bytes;
	} finally {
		fs.closeSync(fd);
	}
}

/** A path by which any thread of this process reaches the very file that is open as `fd`. */
function located(fd: number): { path: string; offset: number } {
	return { path: `/proc/self/fd/${fd}`, offset: 0 };
}

function reason(cause: unknown): string {
	if (linux.isSystemError(cause, "EXDEV", "ELOOP"))
		return "it is a link that leads out of the directory, or in circles";
	return (cause as Error).message;
}
