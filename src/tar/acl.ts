/**
 * POSIX ACLs: the text that star, GNU tar and libarchive put into SCHILY.acl.access and SCHILY.acl.default, to
 * the bytes of the xattrs system.posix_acl_access and system.posix_acl_default.
 *
 * Source: acl(5) for the text (with star's number behind the name, "user:joe:rw-:1000"); Linux
 * include/uapi/linux/posix_acl_xattr.h for the bytes.
 */

const VERSION = 2;
const NO_ID = 0xffffffff;
const MAX_ENTRIES = 4096;
const TAGS: ReadonlyMap<string, { readonly own: number; readonly named: number | undefined }> = new Map([
	["user", { own: 0x01, named: 0x02 }],
	["u", { own: 0x01, named: 0x02 }],
	["group", { own: 0x04, named: 0x08 }],
	["g", { own: 0x04, named: 0x08 }],
	["mask", { own: 0x10, named: undefined }],
	["m", { own: 0x10, named: undefined }],
	["other", { own: 0x20, named: undefined }],
	["o", { own: 0x20, named: undefined }],
]);

interface AclEntry {
	readonly tag: number;
	readonly permissions: number;
	readonly id: number;
}

/**
 * The xattr's value; a value that is binary already is passed on as it is.
 * `undefined` where the text cannot be translated without a user database, or is no ACL.
 */
export function aclFromText(text: Buffer): Buffer | undefined {
	if (text.length >= 4 && text.readUInt32LE(0) === VERSION) return Buffer.from(text);
	const entries: AclEntry[] = [];
	for (const part of text.toString("latin1").split(/[,\n]/)) {
		const line = part.replace(/#.*/, "").trim();
		if (line === "") continue;
		const entry = readEntry(line);
		if (entry === undefined || entries.length === MAX_ENTRIES) return undefined;
		entries.push(entry);
	}
	if (entries.length === 0) return undefined;
	// The kernel refuses an ACL whose entries are not in the order of their tags and ids.
	entries.sort((a, b) => a.tag - b.tag || a.id - b.id);
	const value = Buffer.allocUnsafe(4 + 8 * entries.length);
	value.writeUInt32LE(VERSION, 0);
	entries.forEach(({ tag, permissions, id }, i) => {
		value.writeUInt16LE(tag, 4 + 8 * i);
		value.writeUInt16LE(permissions, 6 + 8 * i);
		value.writeUInt32LE(id, 8 + 8 * i);
	});
	return value;
}

function readEntry(line: string): AclEntry | undefined {
	const parts = line.split(":").map((part) => part.trim());
	const tag = TAGS.get(parts[0] ?? "");
	if (tag === undefined) return undefined;
	// "other::r--" and the short "other:r--" are both in use.
	const short = parts.length === 2 && tag.named === undefined;
	const qualifier = short ? "" : (parts[1] ?? "");
	const permissions = readPermissions(parts[short ? 1 : 2] ?? "");
	if (permissions === undefined) return undefined;
	if (qualifier === "") return { tag: tag.own, permissions, id: NO_ID };
	const id = [parts[3] ?? "", qualifier].find((candidate) => /^\d{1,10}$/.test(candidate));
	if (tag.named === undefined || id === undefined || Number(id) >= NO_ID) return undefined;
	return { tag: tag.named, permissions, id: Number(id) };
}

function readPermissions(text: string): number | undefined {
	if (!/^[r-]?[w-]?[x-]?$/.test(text) || text === "") return undefined;
	return (text.includes("r") ? 4 : 0) | (text.includes("w") ? 2 : 0) | (text.includes("x") ? 1 : 0);
}
