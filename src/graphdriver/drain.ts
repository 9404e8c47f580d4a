/** A stream of what a worker thread writes into a pipe. */
import net from "node:net";
import type { Readable } from "node:stream";
import * as linux from "../linux/index.ts";

/** `fd` is the writing end; the caller closes it when its writer is done, and the stream then ends. */
export function readFromPipe(): { readonly fd: number; readonly stream: Readable } {
	const { readFd, writeFd } = linux.pipe2(linux.O_CLOEXEC);
	return { fd: writeFd, stream: new net.Socket({ fd: readFd, readable: true, writable: false }) };
}
