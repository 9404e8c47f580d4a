/**
 * Which of an entry's xattrs a filesystem would take, and as what: setxattr(2)'s own rules, for an image that is written
 * without it. What is left out is told as for a layer that is applied to a tree (entry-metadata.ts).
 *
 * Source: kernel fs/xattr.c (xattr_permission, xattr_resolve_name), security/commoncap.c (cap_convert_nscap); xattr(7).
 */
import { LamellaError } from "../../errors/index.ts";
import type { TarEntry, Xattr } from "../../tar/index.ts";
import { isLeftOut } from "../apply/entry-metadata.ts";
import type { OwnerMapper } from "../apply/entry-owner.ts";
import { forPeople } from "../apply/entry-path.ts";
import type { WarningList } from "../warnings.ts";
import { accessAcl, defaultAcl, type KeptAcl } from "./posix-acl.ts";

const NAME_BYTES_MAX = 255;
/** EROFS has 16 bits for a value's length, and 18 for all of an inode's xattrs. */
const VALUE_BYTES_MAX = 0xffff;
const ALL_BYTES_MAX = 0x3_fe00;
/** listxattr(2) gives no more. */
const NAMES_BYTES_MAX = 65_536;
const ENTRY_BYTES = 8;
const ACCESS_ACL = "system.posix_acl_access";
const DEFAULT_ACL = "system.posix_acl_default";
const CAPABILITY = "security.capability";
/** Value bytes of a file capability by its revision (linux/capability.h). */
const CAPABILITY_BYTES: ReadonlyMap<number, number> = new Map([
	[0x0200_0000, 20],
	[0x0300_0000, 24],
]);

/**
 * The xattrs that the entry has on disk, owners mapped.
 * @throws {LamellaError} `EXATTR` where they are more than the kernel, or an image, can hold
 */
export function keptXattrs(
	entry: TarEntry,
	owners: OwnerMapper,
	warnings: WarningList,
	where: () => string,
): readonly Xattr[] {
	const kept: Xattr[] = [];
	let allBytes = 0;
	let namesBytes = 0;
	for (const { name: bytes, value } of entry.xattrs) {
		const name = bytes.toString("latin1");
		if (isLeftOut(name, warnings, where)) continue;
		if (name === DEFAULT_ACL && entry.type !== "directory") continue;
		if (bytes.length > NAME_BYTES_MAX || value.length > VALUE_BYTES_MAX) throw noRoom(name, where);
		const mapped = keptValue(entry, name, owners.xattrValue(name, value));
		if (mapped === "none") continue;
		if (mapped === "invalid") {
			warnings.add("xattr", where, forPeople(name));
			continue;
		}
		kept.push({ name: bytes, value: mapped });
		namesBytes += bytes.length + 1;
		allBytes += bytes.length + mapped.length + ENTRY_BYTES;
		if (allBytes > ALL_BYTES_MAX || namesBytes > NAMES_BYTES_MAX) throw noRoom(name, where);
	}
	return kept;
}

function keptValue(entry: TarEntry, name: string, value: Buffer): KeptAcl {
	const { type } = entry;
	if (name === ACCESS_ACL) return type === "symlink" ? "invalid" : accessAcl(value, entry.mode);
	if (name === DEFAULT_ACL) return defaultAcl(value);
	if (name === CAPABILITY) return isCapability(value) ? value : "invalid";
	const namespace = name.slice(0, name.indexOf(".") + 1);
	if (name.length === namespace.length) return "invalid";
	if (namespace === "trusted." || namespace === "security.") return value;
	return namespace === "user." && (type === "file" || type === "directory") ? value : "invalid";
}

function isCapability(value: Buffer): boolean {
	if (value.length < 4) return false;
	// The lowest bit says "effective"; there are no others besides the revision.
	return CAPABILITY_BYTES.get((value.readUInt32LE(0) & ~1) >>> 0) === value.length;
}

function noRoom(name: string, where: () => string): LamellaError {
	return new LamellaError(
		"EXATTR",
		`the xattr ${forPeople(name)} of "${where()}" has no room: its name or value, or all of the file's together, are larger than Linux takes`,
		{ path: where() },
	);
}
