/**
 * Owners as a layer states them, and as they are on disk under an ID map: of files, in ACLs, and the root user that
 * a file capability is bound to.
 *
 * Source: user_namespaces(7); linux/posix_acl_xattr.h; linux/capability.h (vfs_ns_cap_data), capabilities(7).
 */
import { type IdMapRange, type IdMaps, toContainer, toHost } from "../../idmap/index.ts";

const ACL_NAMES = new Set(["system.posix_acl_access", "system.posix_acl_default"]);
const ACL_HEADER_BYTES = 4;
const ACL_ENTRY_BYTES = 8;
const ACL_USER = 0x02;
const ACL_GROUP = 0x08;

const CAPABILITY_NAME = "security.capability";
const CAPABILITY_REVISION_MASK = 0xff000000;
const CAPABILITY_REVISION_2 = 0x02000000;
const CAPABILITY_REVISION_3 = 0x03000000;
const CAPABILITY_2_BYTES = 20;
const CAPABILITY_3_BYTES = 24;

/** `to host` as a layer is applied, `to container` as one is written. */
export type OwnerDirection = "to host" | "to container";

/** Brings a container's ids to the host's, or back. Without maps they are the same. */
export class OwnerMapper {
	readonly #maps: IdMaps | undefined;
	readonly #toHost: boolean;

	constructor(maps: IdMaps | undefined, direction: OwnerDirection = "to host") {
		this.#maps = maps;
		this.#toHost = direction === "to host";
	}

	/** @throws {LamellaError} `EINVALID` for an id that the maps do not cover. */
	uid(id: number): number {
		return this.#maps === undefined ? id : this.#map(id, this.#maps.uids);
	}

	/** @throws {LamellaError} `EINVALID` */
	gid(id: number): number {
		return this.#maps === undefined ? id : this.#map(id, this.#maps.gids);
	}

	#map(id: number, ranges: readonly IdMapRange[]): number {
		return this.#toHost ? toHost(id, ranges) : toContainer(id, ranges);
	}

	/** The xattr's value on the other side of the maps. */
	xattrValue(name: string, value: Buffer): Buffer {
		if (this.#maps === undefined) return value;
		if (ACL_NAMES.has(name)) return this.#acl(value);
		return name === CAPABILITY_NAME ? this.#capability(value) : value;
	}

	#acl(value: Buffer): Buffer {
		const mapped = Buffer.from(value);
		for (let at = ACL_HEADER_BYTES; at + ACL_ENTRY_BYTES <= mapped.length; at += ACL_ENTRY_BYTES) {
			const tag = mapped.readUInt16LE(at);
			const id = mapped.readUInt32LE(at + 4);
			if (tag === ACL_USER) mapped.writeUInt32LE(this.uid(id), at + 4);
			if (tag === ACL_GROUP) mapped.writeUInt32LE(this.gid(id), at + 4);
		}
		return mapped;
	}

	/** A capability holds only where its root user is root: without one, that is the host's. */
	#capability(value: Buffer): Buffer {
		const revision = value.length >= 4 ? (value.readUInt32LE(0) & CAPABILITY_REVISION_MASK) >>> 0 : 0;
		const isV2 = revision === CAPABILITY_REVISION_2 && value.length === CAPABILITY_2_BYTES;
		const isV3 = revision === CAPABILITY_REVISION_3 && value.length === CAPABILITY_3_BYTES;
		if (!isV2 && !isV3) return value;
		// The host's own root: bound to nobody in the container, and so left as it is.
		if (!this.#toHost && isV2) return value;
		const rootId = this.uid(isV3 ? value.readUInt32LE(CAPABILITY_2_BYTES) : 0);
		const flags = value.readUInt32LE(0) & ~CAPABILITY_REVISION_MASK;
		if (!this.#toHost && rootId === 0) {
			const plain = Buffer.from(value.subarray(0, CAPABILITY_2_BYTES));
			plain.writeUInt32LE((CAPABILITY_REVISION_2 | flags) >>> 0, 0);
			return plain;
		}
		const mapped = Buffer.alloc(CAPABILITY_3_BYTES);
		value.copy(mapped, 0, 0, CAPABILITY_2_BYTES);
		mapped.writeUInt32LE((CAPABILITY_REVISION_3 | flags) >>> 0, 0);
		mapped.writeUInt32LE(rootId, CAPABILITY_2_BYTES);
		return mapped;
	}
}
