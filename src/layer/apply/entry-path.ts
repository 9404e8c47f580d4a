/**
 * Paths from a tar as the appliers use them: cleaned, relative to the layer's root, as latin1 text in which one
 * character is one byte (so that they can be compared, cut and kept as keys cheaply, whatever bytes they hold).
 *
 * Cleaning is about spelling only. That a path stays inside the layer is ensured where it is opened (target-tree.ts).
 */
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import { OPAQUE_NAME, WHITEOUT_PREFIX } from "../overlay/whiteout.ts";
import { PATH_BYTES_MAX, pathTooLong } from "../tree/tree-path.ts";

/** NAME_MAX of Linux. */
export const NAME_BYTES_MAX = 255;

const NOT_ASCII = /[\x80-\xff]/;
const NEEDS_CLEANING = /^\/|\/$|\/\/|(?:^|\/)\.\.?(?:\/|$)/;

/**
 * Cleans a path of a tar entry or the target of a hard link: `./a//b/` is `a/b`, `/a` is `a`, `a/../b` is `b`, the
 * root is the empty string.
 * @throws {LamellaError} `EUNSAFE` where `..` leads out of the root, `ETAR` where path or name is too long.
 */
export function cleanEntryPath(path: Uint8Array): string {
	const spelled = latin1(path);
	// So end all directories.
	const text = spelled.endsWith("/") ? spelled.slice(0, -1) : spelled;
	const cleaned = NEEDS_CLEANING.test(text) ? clean(text) : text;
	if (cleaned.length > PATH_BYTES_MAX) checkMarkedPath(cleaned);
	const name = cleaned.length > NAME_BYTES_MAX ? cleaned.split("/").find(isTooLong) : undefined;
	if (name !== undefined) throw nameTooLong(name);
	return cleaned;
}

/** Of a whiteout or opaque mark the path counts that it is about. */
function checkMarkedPath(path: string): void {
	const directoryBytes = path.lastIndexOf("/");
	const name = path.slice(directoryBytes + 1);
	let lengthBytes = path.length;
	if (name === OPAQUE_NAME) lengthBytes = directoryBytes;
	else if (name.startsWith(WHITEOUT_PREFIX)) lengthBytes -= WHITEOUT_PREFIX.length;
	if (lengthBytes > PATH_BYTES_MAX) throw pathTooLong(Buffer.from(path, "latin1"));
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
			throw new LamellaError(
				"EUNSAFE",
				`"${path}" leads out of the layer by ".."; tools do not write such names, so it may be an attack`,
				{ path },
			);
		}
	}
	return components.join("/");
}

export function nameTooLong(name: string): LamellaError {
	const start = forPeople(name.slice(0, 60));
	return new LamellaError(
		"ETAR",
		`the name "${start}…" has ${name.length} bytes, and Linux takes ${NAME_BYTES_MAX}`,
		{ path: start },
	);
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
