/**
 * The words for "not there any more": tar's whiteouts and opaque marks (names that begin with `.wh.`), and writing
 * overlayfs's (whiteout devices and opaque xattrs). Reading overlayfs's marks is overlay-marks.ts's affair.
 *
 * Source: OCI image spec, layer.md, "Whiteouts"; kernel Documentation/filesystems/overlayfs.rst, "whiteouts and
 * opaque directories".
 */
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import type { OverlayXattrPrefix } from "../contract.ts";

/** What a tar whiteout's name begins with; the name that it hides follows. */
export const WHITEOUT_PREFIX = ".wh.";
/** Names of AUFS's own bookkeeping begin so; only the opaque mark among them means anything in a layer. */
const AUFS_PREFIX = ".wh..wh.";
/** The tar entry that makes its directory opaque: everything that lower layers have in it is gone. */
export const OPAQUE_NAME = ".wh..wh..opq";

export type WhiteoutWord =
	| { readonly kind: "whiteout"; readonly hidden: string }
	| { readonly kind: "opaque" }
	/** AUFS's bookkeeping (`.wh..wh.plnk`, `.wh..wh.aufs`, …), which every engine leaves out. */
	| { readonly kind: "ignored" };

/**
 * What a tar entry's last component (as latin1) says; undefined where it is a plain name.
 * @throws {LamellaError} `EUNSAFE` for `.wh.`, `.wh..` and `.wh...`, which would hide the directory itself or its
 * parent.
 */
export function readWhiteoutWord(name: string, where: () => string): WhiteoutWord | undefined {
	if (!name.startsWith(WHITEOUT_PREFIX)) return undefined;
	if (name === OPAQUE_NAME) return { kind: "opaque" };
	if (name.startsWith(AUFS_PREFIX)) return { kind: "ignored" };
	const hidden = name.slice(WHITEOUT_PREFIX.length);
	if (hidden === "" || hidden === "." || hidden === "..") {
		throw new LamellaError(
			"EUNSAFE",
			`"${where()}" would delete the directory that it is in, or the one above; a whiteout names what it deletes`,
			{ path: where() },
		);
	}
	return { kind: "whiteout", hidden };
}

/** The tar name that hides `name`. */
export function whiteoutName(name: Uint8Array): Buffer {
	return Buffer.concat([Buffer.from(WHITEOUT_PREFIX), name]);
}

/**
 * Makes a whiteout device, so that overlayfs hides what lower layers have under that name.
 *
 * Only for a directory that is merged with a lower one: in any other overlayfs lists the name as a file that
 * cannot be looked up.
 */
export function makeWhiteoutDevice(directoryFd: number, name: string | Uint8Array): void {
	linux.mknodat(directoryFd, name, linux.S_IFCHR, 0, 0);
}

/**
 * Makes the directory `name` opaque: overlayfs then hides everything that lower layers have under it.
 * Means nothing on the root of a layer: overlayfs does not look there.
 * @throws {LamellaError} `EXATTR` where the filesystem has no such xattrs.
 */
export function makeOpaque(
	directoryFd: number,
	name: string | Uint8Array,
	xattrPrefix: OverlayXattrPrefix,
): void {
	try {
		linux.lsetxattrAt(directoryFd, name, `${xattrPrefix}opaque`, Buffer.from("y"));
	} catch (error) {
		if (!linux.isSystemError(error, "EOPNOTSUPP", "ENOTSUP")) throw error;
		throw new LamellaError(
			"EXATTR",
			`the filesystem does not take ${xattrPrefix}opaque, so that a layer cannot hide a directory there; put the store on ext4, xfs or btrfs`,
			{ cause: error },
		);
	}
}
