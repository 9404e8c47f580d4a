/**
 * Owns sets of extended attributes: many inodes have the same one (a security label, an ACL), so each set is kept
 * once and named by a number.
 */
import { Buffer } from "node:buffer";
import { LamellaError } from "../errors/index.ts";

export interface Xattr {
	/** With its prefix: `user.mime_type`. */
	readonly name: Uint8Array;
	readonly value: Uint8Array;
}

export class XattrSets {
	readonly #sets: (readonly Xattr[])[] = [];
	readonly #ids = new Map<string, number>();

	get count(): number {
		return this.#sets.length;
	}

	/**
	 * The id of this set, whatever order it comes in. Names and values are copied.
	 * @throws {LamellaError} `EINVALID` where a name comes twice
	 */
	intern(xattrs: readonly Xattr[]): number {
		const sorted = xattrs.length < 2 ? xattrs : [...xattrs].sort((a, b) => Buffer.compare(a.name, b.name));
		let key = "";
		for (const [at, { name, value }] of sorted.entries()) {
			const next = sorted[at + 1];
			if (next !== undefined && Buffer.compare(name, next.name) === 0) {
				throw new LamellaError("EINVALID", `xattr ${latin1(name)} comes twice in one set`);
			}
			key += `${name.length},${value.length}:${latin1(name)}${latin1(value)}`;
		}
		const known = this.#ids.get(key);
		if (known !== undefined) return known;
		const id = this.#sets.length;
		this.#sets.push(sorted.map(({ name, value }) => ({ name: name.slice(), value: value.slice() })));
		this.#ids.set(key, id);
		return id;
	}

	/** Sorted by name. */
	get(id: number): readonly Xattr[] {
		return this.#sets[id] ?? [];
	}
}

function latin1(bytes: Uint8Array): string {
	return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
