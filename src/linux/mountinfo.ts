/**
 * Owns the reading of mountinfo, as proc_pid_mountinfo(5) describes it.
 */
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";

export interface MountInfo {
	readonly id: number;
	readonly parentId: number;
	/** `major:minor` of the filesystem. */
	readonly majorMinor: string;
	/** The directory of the filesystem that is mounted. */
	readonly root: Buffer;
	readonly mountPoint: Buffer;
	/** The mount's own options, comma-separated: `rw,relatime`. */
	readonly options: string;
	/** `shared:N`, `master:N`, `propagate_from:N`, `unbindable`. */
	readonly propagation: readonly string[];
	readonly fsType: string;
	readonly source: Buffer;
	/** The filesystem's options. */
	readonly superOptions: string;
}

/** The kernel writes space, tab, newline, backslash (and `#`) as three octal digits. */
function unescapeOctal(field: string): Buffer {
	return Buffer.from(
		field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))),
		"latin1",
	);
}

/** Lines that are not of mountinfo's shape are left out. */
export function parseMountInfo(text: Uint8Array | string): MountInfo[] {
	// latin1 keeps every byte as one character.
	const bytes = typeof text === "string" ? Buffer.from(text) : text;
	const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1").split("\n");
	const mounts: MountInfo[] = [];
	for (const line of lines) {
		const fields = line.split(" ");
		const dash = fields.indexOf("-", 6);
		const [id, parentId, majorMinor, root, mountPoint, options] = fields;
		if (dash < 0 || root === undefined || mountPoint === undefined) continue;
		mounts.push({
			id: Number(id),
			parentId: Number(parentId),
			majorMinor: majorMinor ?? "",
			root: unescapeOctal(root),
			mountPoint: unescapeOctal(mountPoint),
			options: options ?? "",
			propagation: fields.slice(6, dash),
			fsType: fields[dash + 1] ?? "",
			source: unescapeOctal(fields[dash + 2] ?? ""),
			superOptions: unescapeOctal(fields[dash + 3] ?? "").toString("utf8"),
		});
	}
	return mounts;
}

/** The mounts that the calling thread sees, in the kernel's order: of two at one place the later is on top. */
export function readMountInfo(): MountInfo[] {
	// thread-self: a worker thread may have a mount namespace of its own.
	return parseMountInfo(readFileSync("/proc/thread-self/mountinfo"));
}
