/**
 * Owns how xattrs lie in an image: each inode has a body behind it, with its own ones and the ids of shared ones. A
 * set that several inodes have goes, once, into the shared area at the image's end.
 */
import { Buffer } from "node:buffer";
import { escapePath, LamellaError } from "../errors/index.ts";
import { XATTR_ENTRY, XATTR_HEADER } from "./format.ts";
import type { Xattr, XattrSets } from "./xattr-sets.ts";

interface XattrPrefix {
	readonly index: number;
	readonly prefix: Uint8Array;
	/** Nothing comes after it. */
	readonly isWhole: boolean;
}

/** What a name begins with, and the number that stands for it (EROFS_XATTR_INDEX_*). */
export const XATTR_PREFIXES: readonly XattrPrefix[] = [
	{ index: 1, prefix: Buffer.from("user."), isWhole: false },
	{ index: 2, prefix: Buffer.from("system.posix_acl_access"), isWhole: true },
	{ index: 3, prefix: Buffer.from("system.posix_acl_default"), isWhole: true },
	{ index: 4, prefix: Buffer.from("trusted."), isWhole: false },
	{ index: 6, prefix: Buffer.from("security."), isWhole: false },
];

const NAME_BYTES_MAX = 255;
/** A value's size has 16 bits; Linux takes one byte more. */
const VALUE_BYTES_MAX = 65_535;
/** What listxattr(2) can list of one file. */
const LIST_BYTES_MAX = 65_536;
/** The size of a body in 4-byte units has 16 bits. */
const BODY_BYTES_MAX = XATTR_HEADER.bytes + 4 * (65_535 - 1);
const SHARED_MAX = 255;

export class XattrBodies {
	readonly #sets: XattrSets;
	readonly #uses: Uint32Array;
	readonly #bodies: (Uint8Array | undefined)[];
	readonly #sharedIds = new Map<string, number>();
	readonly #shared: Uint8Array[] = [];
	#sharedBytes = 0;

	/** `uses` says how many inodes have each set. */
	constructor(sets: XattrSets, uses: Uint32Array) {
		this.#sets = sets;
		this.#uses = uses;
		this.#bodies = new Array<Uint8Array | undefined>(sets.count);
	}

	/** Bytes of the shared area so far. */
	get sharedBytes(): number {
		return this.#sharedBytes;
	}

	/**
	 * The body of set `id`, the same bytes for each inode that has it.
	 * @throws {LamellaError} `ENOTSUPPORTED` or `EXATTR`, naming the path that `pathOf` gives
	 */
	get(id: number, pathOf: () => string): Uint8Array {
		let body = this.#bodies[id];
		if (body === undefined) {
			body = this.#make(this.#sets.get(id), (this.#uses[id] ?? 0) > 1, pathOf);
			this.#bodies[id] = body;
		}
		return body;
	}

	/** Writes the shared area. */
	writeShared(image: Uint8Array, offset: number): void {
		let at = offset;
		for (const entry of this.#shared) {
			image.set(entry, at);
			at += entry.length;
		}
	}

	#make(xattrs: readonly Xattr[], isShared: boolean, pathOf: () => string): Uint8Array {
		const own: Uint8Array[] = [];
		const ids: number[] = [];
		let listBytes = 0;
		for (const xattr of xattrs) {
			const entry = encode(xattr, pathOf);
			listBytes += xattr.name.length + 1;
			if (isShared && ids.length < SHARED_MAX) ids.push(this.#share(entry));
			else own.push(entry);
		}
		const bytes = XATTR_HEADER.bytes + 4 * ids.length + own.reduce((sum, entry) => sum + entry.length, 0);
		if (bytes > BODY_BYTES_MAX || listBytes > LIST_BYTES_MAX) {
			const path = pathOf();
			throw new LamellaError("ENOTSUPPORTED", `"${path}" has more xattrs than a packed layer can hold`, {
				path,
			});
		}
		const body = Buffer.alloc(bytes);
		body.writeUInt8(ids.length, XATTR_HEADER.sharedCountAt);
		let at: number = XATTR_HEADER.bytes;
		for (const id of ids) at = body.writeUInt32LE(id, at);
		for (const entry of own) {
			body.set(entry, at);
			at += entry.length;
		}
		return body;
	}

	#share(entry: Uint8Array): number {
		const key = Buffer.from(entry.buffer, entry.byteOffset, entry.length).toString("latin1");
		let id = this.#sharedIds.get(key);
		if (id === undefined) {
			id = this.#sharedBytes / XATTR_ENTRY.align;
			this.#sharedIds.set(key, id);
			this.#shared.push(entry);
			this.#sharedBytes += entry.length;
		}
		return id;
	}
}

function encode({ name, value }: Xattr, pathOf: () => string): Uint8Array {
	const refused = (code: "ENOTSUPPORTED" | "EXATTR", why: string): LamellaError => {
		const path = pathOf();
		return new LamellaError(code, `xattr ${escapePath(name)} of "${path}" cannot be kept: ${why}`, { path });
	};
	if (name.length > NAME_BYTES_MAX) throw refused("ENOTSUPPORTED", "its name has more than 255 bytes");
	if (value.length > VALUE_BYTES_MAX) throw refused("ENOTSUPPORTED", "its value has more than 65535 bytes");
	const known = XATTR_PREFIXES.find(({ prefix, isWhole }) =>
		isWhole ? Buffer.compare(name, prefix) === 0 : name.length > prefix.length && startsWith(name, prefix),
	);
	if (known === undefined || name.includes(0)) throw refused("ENOTSUPPORTED", "EROFS has no such names");
	if (known.isWhole && !isAcl(value)) throw refused("EXATTR", "the value is no access control list");
	const suffix = name.subarray(known.prefix.length);
	const bytes = XATTR_ENTRY.bytes + suffix.length + value.length;
	const entry = Buffer.alloc(Math.ceil(bytes / XATTR_ENTRY.align) * XATTR_ENTRY.align);
	entry.writeUInt8(suffix.length, XATTR_ENTRY.nameLengthAt);
	entry.writeUInt8(known.index, XATTR_ENTRY.prefixAt);
	entry.writeUInt16LE(value.length, XATTR_ENTRY.valueSizeAt);
	entry.set(suffix, XATTR_ENTRY.bytes);
	entry.set(value, XATTR_ENTRY.bytes + suffix.length);
	return entry;
}

function startsWith(name: Uint8Array, prefix: Uint8Array): boolean {
	return Buffer.compare(name.subarray(0, prefix.length), prefix) === 0;
}

const ACL_HEADER_BYTES = 4;
const ACL_ENTRY_BYTES = 8;
const ACL_VERSION = 2;
/** Tags of entries in the order that they come in: owner, users, owning group, groups, mask, others. */
const ACL_OWNER = 0x01;
const ACL_USER = 0x02;
const ACL_OWNING_GROUP = 0x04;
const ACL_GROUP = 0x08;
const ACL_MASK = 0x10;
const ACL_OTHERS = 0x20;
const NO_ID = 0xffffffff;

/**
 * Whether the kernel would have let someone set it. EROFS does not ask, and with another value every access that the
 * ACL decides would fail.
 * Source: kernel fs/posix_acl.c, posix_acl_from_xattr and posix_acl_valid.
 */
function isAcl(value: Uint8Array): boolean {
	if (value.length < ACL_HEADER_BYTES || (value.length - ACL_HEADER_BYTES) % ACL_ENTRY_BYTES !== 0)
		return false;
	const view = new DataView(value.buffer, value.byteOffset, value.length);
	if (view.getUint32(0, true) !== ACL_VERSION) return false;
	let tags = "";
	for (let at = ACL_HEADER_BYTES; at < value.length; at += ACL_ENTRY_BYTES) {
		const tag = view.getUint16(at, true);
		if (view.getUint16(at + 2, true) > 7) return false;
		if ((tag === ACL_USER || tag === ACL_GROUP) && view.getUint32(at + 4, true) === NO_ID) return false;
		tags += ACL_LETTERS.get(tag) ?? "?";
	}
	return /^ou*gn*m?x$/.test(tags) && (!/[un]/.test(tags) || tags.includes("m"));
}

const ACL_LETTERS: ReadonlyMap<number, string> = new Map([
	[ACL_OWNER, "o"],
	[ACL_USER, "u"],
	[ACL_OWNING_GROUP, "g"],
	[ACL_GROUP, "n"],
	[ACL_MASK, "m"],
	[ACL_OTHERS, "x"],
]);
