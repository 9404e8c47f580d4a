/**
 * What a filesystem makes of a POSIX ACL that is set on a file of some mode: the kernel's own checks, for an image that
 * is written without it, where an ACL that the kernel does not understand would make its file unusable.
 *
 * Source: kernel fs/posix_acl.c (posix_acl_from_xattr, posix_acl_valid, posix_acl_equiv_mode, __posix_acl_chmod_masq);
 * linux/posix_acl_xattr.h.
 */

const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
const NO_ID = 0xffff_ffff;
const USER_OBJ = 0x01;
const USER = 0x02;
const GROUP_OBJ = 0x04;
const GROUP = 0x08;
const MASK = 0x10;
const OTHER = 0x20;
/** In this order, each at most once, and those of `MUST` at least; USER and GROUP any number of times. */
const ORDER = [USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER];
const MUST = USER_OBJ | GROUP_OBJ | OTHER;

/**
 * The value as the kernel keeps it; `none` where it says nothing (it is empty, or, for an access ACL, no more than the
 * mode does), `invalid` where the kernel refuses it.
 */
export type KeptAcl = Buffer | "none" | "invalid";

/** An access ACL, brought in line with `mode`, as a chmod(2) after it does. */
export function accessAcl(value: Buffer, mode: number): KeptAcl {
	const acl = readAcl(value);
	if (typeof acl === "string") return acl;
	const tags = new Set(acl.map(({ tag }) => tag));
	if (tags.size === 3 && acl.length === 3) return "none";
	const classOf = (tag: number): number | undefined => {
		if (tag === USER_OBJ) return mode >> 6;
		if (tag === OTHER) return mode;
		return tag === (tags.has(MASK) ? MASK : GROUP_OBJ) ? mode >> 3 : undefined;
	};
	return writeAcl(
		acl.map(({ tag, permissions, id }) => ({ tag, permissions: (classOf(tag) ?? permissions) & 7, id })),
	);
}

/** A directory's default ACL. */
export function defaultAcl(value: Buffer): KeptAcl {
	const acl = readAcl(value);
	return typeof acl === "string" ? acl : writeAcl(acl);
}

interface AclEntry {
	readonly tag: number;
	readonly permissions: number;
	readonly id: number;
}

function readAcl(value: Buffer): readonly AclEntry[] | "none" | "invalid" {
	if (value.length === 0) return "none";
	const isWhole = value.length >= HEADER_BYTES && (value.length - HEADER_BYTES) % ENTRY_BYTES === 0;
	if (!isWhole || value.readUInt32LE(0) !== VERSION) return "invalid";
	if (value.length === HEADER_BYTES) return "none";
	const acl: AclEntry[] = [];
	let place = -1;
	let seen = 0;
	for (let at = HEADER_BYTES; at < value.length; at += ENTRY_BYTES) {
		const tag = value.readUInt16LE(at);
		const permissions = value.readUInt16LE(at + 2);
		const isNamed = tag === USER || tag === GROUP;
		const id = isNamed ? value.readUInt32LE(at + 4) : NO_ID;
		const next = ORDER.indexOf(tag);
		if (next < place || (next === place && !isNamed) || (isNamed && id === NO_ID) || permissions > 7)
			return "invalid";
		place = next;
		seen |= tag;
		acl.push({ tag, permissions, id });
	}
	const needsMask = (seen & (USER | GROUP)) !== 0 && (seen & MASK) === 0;
	return needsMask || (seen & MUST) !== MUST ? "invalid" : acl;
}

function writeAcl(acl: readonly AclEntry[]): Buffer {
	const value = Buffer.alloc(HEADER_BYTES + ENTRY_BYTES * acl.length);
	value.writeUInt32LE(VERSION, 0);
	for (const [i, { tag, permissions, id }] of acl.entries()) {
		const at = HEADER_BYTES + ENTRY_BYTES * i;
		value.writeUInt16LE(tag, at);
		value.writeUInt16LE(permissions, at + 2);
		value.writeUInt32LE(id, at + 4);
	}
	return value;
}
