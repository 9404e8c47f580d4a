/** The xattrs of a file that belong to a layer: all but overlayfs's own and the host's SELinux label. */
import * as linux from "../../linux/index.ts";
import type { Xattr } from "../../tar/index.ts";
import { isForeignXattr, SELINUX_XATTR } from "../overlay/overlay-marks.ts";

const NONE: readonly Xattr[] = [];

/**
 * Of `name` in an open directory, itself where it is a symbolic link; sorted bytewise by name. `onOverlay` hears of
 * each that looks like overlayfs's own.
 */
export function readXattrsAt(
	directoryFd: number,
	name: Buffer,
	onOverlay?: (xattr: string) => void,
): readonly Xattr[] {
	const names = ignoringUnsupported(() => linux.llistxattrAt(directoryFd, name));
	return collect(names, (xattr) => linux.lgetxattrAt(directoryFd, name, xattr), onOverlay);
}

/** Of an open file or directory; sorted bytewise by name. */
export function readXattrs(fd: number): readonly Xattr[] {
	const names = ignoringUnsupported(() => linux.flistxattr(fd));
	return collect(names, (xattr) => linux.fgetxattr(fd, xattr));
}

/** Whether two sorted lists hold the same. */
export function sameXattrs(a: readonly XattrBytes[], b: readonly XattrBytes[]): boolean {
	if (a.length !== b.length) return false;
	return a.every(({ name, value }, index) => {
		const other = b[index];
		return (
			other !== undefined &&
			Buffer.compare(name, other.name) === 0 &&
			Buffer.compare(value, other.value) === 0
		);
	});
}

interface XattrBytes {
	readonly name: Uint8Array;
	readonly value: Uint8Array;
}

function collect(
	names: readonly Buffer[],
	read: (name: Buffer) => Buffer | undefined,
	onOverlay?: (xattr: string) => void,
): readonly Xattr[] {
	if (names.length === 0) return NONE;
	const xattrs: Xattr[] = [];
	for (const name of names) {
		const text = name.toString("latin1");
		if (isForeignXattr(text)) {
			if (text !== SELINUX_XATTR) onOverlay?.(text);
			continue;
		}
		const value = read(name);
		// Undefined: removed since it was listed.
		if (value !== undefined) xattrs.push({ name, value });
	}
	return xattrs.sort((a, b) => Buffer.compare(a.name, b.name));
}

/** A filesystem without xattrs has none to tell of. */
function ignoringUnsupported(list: () => Buffer[]): Buffer[] {
	try {
		return list();
	} catch (error) {
		if (linux.isSystemError(error, "EOPNOTSUPP", "ENOTSUP")) return [];
		throw error;
	}
}
