/** Flushing: a whole filesystem, and a note that is written after it. */
import * as linux from "../linux/index.ts";
import type { NoteInPlace } from "./job-contract.ts";
import { asLamellaError } from "./system-failure.ts";

/** Calls syncfs on the filesystem of `path`. @throws {LamellaError} `ESYSTEM`, `ENOSPACE` */
export function syncFilesystem(path: string): void {
	withFile(path, linux.O_RDONLY, linux.syncfs);
}

/** Writes a note over what its file has there, and flushes it. @throws {LamellaError} `ESYSTEM`, `ENOSPACE` */
export function writeNote({ file, offset, bytes }: NoteInPlace): void {
	withFile(file, linux.O_WRONLY, (fd) => {
		linux.pwrite(fd, bytes, 0, bytes.length, offset);
		linux.fdatasync(fd);
	});
}

function withFile(path: string, flags: number, work: (fd: number) => void): void {
	try {
		const fd = linux.openat(linux.AT_FDCWD, path, flags);
		try {
			work(fd);
		} finally {
			linux.close(fd);
		}
	} catch (error) {
		throw asLamellaError(error, "flush", () => linux.escapePath(Buffer.from(path)));
	}
}
