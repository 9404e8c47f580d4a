/** Sets of xattrs as bytes, as they are in an index. */
import type { Xattr } from "../../tar/index.ts";

/** Of each set: u16 how many; of each xattr: u16 and u16 how long name and value are, and both. */
export function encodeXattrSets(sets: readonly (readonly Xattr[])[]): Buffer {
	const parts: Buffer[] = [];
	for (const set of sets) {
		const head = Buffer.alloc(2);
		head.writeUInt16LE(set.length);
		parts.push(head);
		for (const { name, value } of set) {
			const lengths = Buffer.alloc(4);
			lengths.writeUInt16LE(name.length, 0);
			lengths.writeUInt16LE(value.length, 2);
			parts.push(lengths, name, value);
		}
	}
	return Buffer.concat(parts);
}

/** Undefined where they are not `count` sets. */
export function decodeXattrSets(bytes: Buffer, count: number): readonly (readonly Xattr[])[] | undefined {
	let at = 0;
	const take = (length: number): Buffer => {
		at += length;
		return bytes.subarray(at - length, at);
	};
	const has = (length: number): boolean => at + length <= bytes.length;
	const sets: Xattr[][] = [];
	for (let i = 0; i < count; i++) {
		if (!has(2)) return undefined;
		const set: Xattr[] = [];
		for (let left = take(2).readUInt16LE(0); left > 0; left--) {
			if (!has(4)) return undefined;
			const lengths = take(4);
			const [nameBytes, valueBytes] = [lengths.readUInt16LE(0), lengths.readUInt16LE(2)];
			if (!has(nameBytes + valueBytes)) return undefined;
			set.push({ name: take(nameBytes), value: take(valueBytes) });
		}
		sets.push(set);
	}
	return at === bytes.length ? sets : undefined;
}
