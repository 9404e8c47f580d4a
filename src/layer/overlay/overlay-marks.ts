/**
 * Reads the marks that overlayfs leaves in upper and lower directories: whiteouts, opaque directories, and those
 * that stand for data kept elsewhere (redirect, metacopy). Writing marks is whiteout.ts's affair.
 *
 * Source: kernel Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories"; fs/overlayfs/util.c.
 */
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import type { OverlayXattrPrefix } from "../contract.ts";

const ALL_PREFIXES: readonly OverlayXattrPrefix[] = ["trusted.overlay.", "user.overlay."];
const LETTER_X = 0x78;
const LETTER_Y = 0x79;

/** Xattrs that belong to the host or to overlayfs and never to a layer. */
const FOREIGN_PREFIXES = ["trusted.overlay.", "user.overlay.", "user.fuseoverlayfs."];
/** The host's label: not the layer's to state, and every engine leaves it out without a word. */
export const SELINUX_XATTR = "security.selinux";

/** What a directory's xattrs say about the merge: `opaque` ends it below this directory. */
export interface DirectoryMarks {
	readonly opaque: boolean;
	/** Zero-size files with the `whiteout` xattr in this directory are whiteouts (kernel 6.7). */
	readonly xattrWhiteouts: boolean;
}

export const NO_MARKS: DirectoryMarks = { opaque: false, xattrWhiteouts: false };

/** Whether an xattr (its name as latin1) is left out of layers: overlayfs's own and the host's SELinux label. */
export function isForeignXattr(name: string): boolean {
	return name === SELINUX_XATTR || FOREIGN_PREFIXES.some((prefix) => name.startsWith(prefix));
}

/** Whether `stat` is a whiteout device: a character device 0:0. */
export function isWhiteoutDevice(stat: linux.Stat): boolean {
	return linux.isCharacter(stat) && stat.rdevMajor === 0 && stat.rdevMinor === 0;
}

/**
 * Reads overlayfs's marks of a single prefix, or of both where none is given (a tree whose maker is not known).
 * A mount with `trusted.overlay.*` takes `user.overlay.*` for plain xattrs that anybody may set, so say which.
 */
export class MarkReader {
	readonly #prefixes: readonly OverlayXattrPrefix[];

	constructor(prefix?: OverlayXattrPrefix) {
		this.#prefixes = prefix === undefined ? ALL_PREFIXES : [prefix];
	}

	/**
	 * The marks of the open directory `fd`.
	 * @throws {LamellaError} `ENOTSUPPORTED` for a directory with a redirect, whose content is elsewhere.
	 */
	directory(fd: number, where: () => string): DirectoryMarks {
		const names = linux.flistxattr(fd);
		if (names.length === 0) return NO_MARKS;
		let opaque = false;
		let xattrWhiteouts = false;
		for (const bytes of names) {
			const name = bytes.toString("latin1");
			for (const prefix of this.#prefixes) {
				if (!name.startsWith(prefix)) continue;
				if (`${prefix}redirect` === name) throw unresolvable(where(), name, "redirect_dir=off");
				if (`${prefix}opaque` !== name) continue;
				const value = linux.fgetxattr(fd, bytes);
				if (value?.[0] === LETTER_Y && value.length === 1) opaque = true;
				if (value?.[0] === LETTER_X && value.length === 1) xattrWhiteouts = true;
			}
		}
		return opaque || xattrWhiteouts ? { opaque, xattrWhiteouts } : NO_MARKS;
	}

	/** Whether a file, in a directory that carries `marks`, is a whiteout of either form. */
	isWhiteout(
		marks: DirectoryMarks | undefined,
		directoryFd: number,
		name: Buffer,
		stat: linux.Stat,
	): boolean {
		if (isWhiteoutDevice(stat)) return true;
		if (marks?.xattrWhiteouts !== true || !linux.isRegular(stat) || stat.sizeBytes !== 0) return false;
		return this.#has(directoryFd, name, "whiteout");
	}

	/**
	 * Refuses a file whose data overlayfs keeps in a lower layer. Such a file has a size but no blocks, so that
	 * most files cost nothing here.
	 * @throws {LamellaError} `ENOTSUPPORTED`
	 */
	refuseMetacopy(directoryFd: number, name: Buffer, stat: linux.Stat, where: () => string): void {
		if (stat.blocks !== 0 || stat.sizeBytes === 0 || !linux.isRegular(stat)) return;
		if (this.#has(directoryFd, name, "metacopy"))
			throw unresolvable(where(), "overlay.metacopy", "metacopy=off");
	}

	#has(directoryFd: number, name: Buffer, suffix: string): boolean {
		return this.#prefixes.some(
			(prefix) => linux.lgetxattrAt(directoryFd, name, `${prefix}${suffix}`) !== undefined,
		);
	}
}

function unresolvable(path: string, mark: string, option: string): LamellaError {
	return new LamellaError(
		"ENOTSUPPORTED",
		`"${path}" carries ${mark}, so its content is in another place; mount the layer with ${option} and make the change again`,
		{ path },
	);
}
