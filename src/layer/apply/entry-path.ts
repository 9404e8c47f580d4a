/**
 * Paths from a tar as the appliers use them: cleaned, relative to the layer's root, as latin1 text in which one
 * character is one byte (so that they can be compared, cut and kept as keys cheaply, whatever bytes they hold).
 *
 * Cleaning is about spelling only. That a path stays inside the layer is ensured where it is opened (target-tree.ts).
 */
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import { WHITEOUT_PREFIX } from "../overlay/whiteout.ts";

/** PATH_MAX and NAME_MAX of Linux: nothing longer could be reached by a program in the container. */
const PATH_BYTES_MAX = 4096;
const NAME_BYTES_MAX = 255;

const NOT_ASCII = /[\x80-\xff]/;
const NEEDS_CLEANING = /^\/|\/$|\/\/|(?:^|\/)\.\.?(?:\/|$)/;

/**
 * Cleans a path of a tar entry or the target of a hard link: `./a//b/` is `a/b`, `/a` is `a`, `a/../b` is `b`, the
 * root is the empty string.
 * @throws {LamellaError} `EUNSAFE` where `..` leads out of the root, `ETAR` where path or name is too long.
 */
export function cleanEntryPath(path: Uint8Array): string {
	const text = latin1(path);
	const cleaned = NEEDS_CLEANING.test(text) ? clean(text) : text;
	if (cleaned.length >= PATH_BYTES_MAX) throw tooLong(path, "path", PATH_BYTES_MAX - 1);
	if (cleaned.length > NAME_BYTES_MAX && cleaned.split("/").some(isTooLong))
		throw tooLong(path, "name", NAME_BYTES_MAX);
	return cleaned;
}

/** The name that a whiteout hides may take all of NAME_MAX: the whiteout's own name never comes to the disk. */
function isTooLong(name: string): boolean {
	const prefixBytes = name.startsWith(WHITEOUT_PREFIX) ? WHITEOUT_PREFIX.length : 0;
	return name.length - prefixBytes > NAME_BYTES_MAX;
}

function clean(text: string): string {
	const components: string[] = [];
	for (const component of text.split("/")) {
		if (component === "" || component === ".") continue;
		if (component !== "..") components.push(component);
		else if (components.pop() === undefined) {
			const path = forPeople(text);
			throw new LamellaError("EUNSAFE", `"${path}" leads out of the layer`, { path });
		}
	}
	return components.join("/");
}

function tooLong(path: Uint8Array, what: "path" | "name", limitBytes: number): LamellaError {
	const start = linux.escapePath(path.subarray(0, 60));
	return new LamellaError("ETAR", `the ${what} in "${start}…" is longer than ${limitBytes} bytes`, {
		path: start,
	});
}

export function latin1(bytes: Uint8Array): string {
	return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

/** A latin1 name for a system call. ASCII goes as text, which is the cheaper way over the native boundary. */
export function toBytes(name: string): string | Buffer {
	return NOT_ASCII.test(name) ? Buffer.from(name, "latin1") : name;
}

/** A latin1 path as people read it. */
export function forPeople(path: string): string {
	return path === "" ? "/" : linux.escapePath(Buffer.from(path, "latin1"));
}
