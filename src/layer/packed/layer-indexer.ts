/**
 * Makes the index of a layer from its tar, entry by entry as a TarReader tells them, and refuses what must not be in a
 * layer. What the layer does to those below is found out where they are merged (layer-merger.ts); as much of that as the
 * layer alone decides is tried on the way, so that it fails here.
 */

import { encodeDevice, FileTree } from "../../erofs/index.ts";
import { LamellaError } from "../../errors/index.ts";
import type { JobContext } from "../../jobs/index.ts";
import type { TarEntry, TarHandler, Xattr } from "../../tar/index.ts";
import { entryMeaning, refuseWhiteoutDevice } from "../apply/entry-meaning.ts";
import { checkNumbers } from "../apply/entry-numbers.ts";
import type { OwnerMapper } from "../apply/entry-owner.ts";
import { cleanEntryPath, forPeople, latin1 } from "../apply/entry-path.ts";
import { WarningList } from "../warnings.ts";
import { keptXattrs } from "./entry-xattrs.ts";
import { ENTRY, IndexEntries } from "./index-entries.ts";
import { LayerMerger } from "./layer-merger.ts";

const BLOCK_BYTES = 512;
/** Where each sparse file begins in layer.data. */
const ALIGNMENT_BYTES = 4096;
const PERMISSIONS = 0o7777;
/** symlink(2) takes no longer target. */
const TARGET_BYTES_MAX = 4095;
/** Of the 32 bits of a block's number; what an image can address in all. */
const DATA_BYTES_MAX = 2 ** 41;
const XATTRS_BYTES_MAX = 256 << 20;
const NS_PER_SECOND = 1_000_000_000n;

export interface IndexerOptions {
	readonly owners: OwnerMapper;
	readonly context: JobContext;
	/** Whether there are layers below. */
	readonly hasLowers: boolean;
	/** Takes the content of sparse files, by its place in layer.data. */
	readonly writeData: (chunk: Uint8Array, position: number) => void;
}

export class LayerIndexer implements TarHandler {
	readonly entries: IndexEntries = new IndexEntries();
	readonly xattrSets: (readonly Xattr[])[] = [];
	readonly warnings: WarningList = new WarningList();
	/** Length of layer.data: whole blocks, so that a mount finds all of the last one. */
	dataSizeBytes = 0;
	tarEntries = 0;

	readonly #options: IndexerOptions;
	readonly #merger: LayerMerger;
	readonly #setIds = new Map<string, number>();
	#xattrsBytes = 0;
	/** The last entry's, which often is the next one's, too. */
	readonly #mtime = { ns: 0n, seconds: 0, nanoseconds: 0 };
	#entry: TarEntry | undefined;
	/** Of the sparse file that is being read, in layer.data; -1 where there is none. */
	#dataStart = -1;
	readonly #where = (): string => (this.#entry === undefined ? "/" : forPeople(latin1(this.#entry.path)));

	constructor(options: IndexerOptions) {
		this.#options = options;
		this.#merger = new LayerMerger(new FileTree(), {
			firstDevice: 1,
			xattrSets: this.xattrSets,
			hasUnknownLowers: options.hasLowers,
		});
	}

	/** Whether only a merge with the layers below tells what an entry does, and whether it is right. */
	get needsLowers(): boolean {
		return this.#merger.needsLowers;
	}

	/** @throws {LamellaError} `EUNSAFE`, `ETAR`, `EXATTR`, `EINVALID` as LayerApplier; `ENOTSUPPORTED` for too large a layer */
	entry(entry: TarEntry, contentOffset: number): void {
		this.#entry = entry;
		this.tarEntries += 1;
		this.#options.context.checkAborted();
		checkNumbers(entry);
		const meaning = entryMeaning(entry, this.#where);
		const { entries } = this;
		const start = entries.textLength;
		switch (meaning.is) {
			case "aufs":
				this.warnings.add("aufs-name", this.#where);
				return;
			case "whiteout":
			case "opaque":
				this.#merger.add(entries, entries.add(ENTRY[meaning.is], meaning), start);
				return;
			default: {
				const index = this.#addMember(entry, contentOffset, meaning);
				this.#merger.add(entries, index, start);
			}
		}
	}

	data(chunk: Uint8Array, offset: number): void {
		if (this.#dataStart !== -1) this.#options.writeData(chunk, this.#dataStart + offset);
	}

	entryEnd(): void {
		this.#dataStart = -1;
	}

	unresolvedAcl(path: Buffer, xattr: string): void {
		this.warnings.add("acl", () => forPeople(latin1(path)), xattr);
	}

	/** To be called once, after the last entry. Content as ApplyResult counts it; meaningless where `needsLowers`. */
	finish(): number {
		this.#merger.finish();
		return this.#merger.contentSizeBytes();
	}

	#addMember(
		entry: TarEntry,
		contentOffset: number,
		meaning: Extract<Parameters<IndexEntries["add"]>[1], { is: "root" | "member" }>,
	): number {
		const { entries } = this;
		if (entry.type === "hardlink") {
			return entries.add(ENTRY.hardlink, meaning, cleanEntryPath(entry.linkPath));
		}
		const index = entries.add(ENTRY[entry.type], meaning, this.#symlinkTarget(entry));
		const { owners } = this.#options;
		const xattrs = entry.xattrs.length === 0 ? 0 : this.#xattrs(entry);
		entries.setAttributes(
			index,
			entry.mode & PERMISSIONS,
			owners.uid(entry.uid),
			owners.gid(entry.gid),
			xattrs,
		);
		this.#setMtime(index, entry.mtimeNs);
		switch (entry.type) {
			case "file":
				this.#setContent(index, entry, contentOffset);
				break;
			case "symlink":
				entries.setContent(index, entry.linkPath.length, 0);
				break;
			case "character":
			case "block":
				refuseWhiteoutDevice(entry, this.#where);
				entries.setContent(index, 0, encodeDevice(entry.deviceMajor, entry.deviceMinor));
		}
		return index;
	}

	#setMtime(index: number, mtimeNs: bigint): void {
		const last = this.#mtime;
		if (mtimeNs !== last.ns) {
			let nanoseconds = mtimeNs % NS_PER_SECOND;
			if (nanoseconds < 0n) nanoseconds += NS_PER_SECOND;
			last.ns = mtimeNs;
			last.seconds = Number((mtimeNs - nanoseconds) / NS_PER_SECOND);
			last.nanoseconds = Number(nanoseconds);
		}
		this.entries.setMtime(index, last.seconds, last.nanoseconds);
	}

	#symlinkTarget({ type, linkPath }: TarEntry): Buffer {
		if (type !== "symlink" || linkPath.length <= TARGET_BYTES_MAX) return linkPath;
		throw new LamellaError(
			"ETAR",
			`the target of the symbolic link "${this.#where()}" has ${linkPath.length} bytes, and Linux takes ${TARGET_BYTES_MAX}`,
			{ path: this.#where() },
		);
	}

	#setContent(index: number, entry: TarEntry, contentOffset: number): void {
		const { entries } = this;
		const { sizeBytes } = entry;
		if (entry.dataExtents === undefined) {
			entries.setContent(index, sizeBytes, sizeBytes === 0 ? 0 : contentOffset / BLOCK_BYTES);
			return;
		}
		const start = this.dataSizeBytes;
		if (start + sizeBytes > DATA_BYTES_MAX) {
			throw new LamellaError(
				"ENOTSUPPORTED",
				`"${this.#where()}" is a sparse file of ${sizeBytes} bytes, and a packed layer has room for ${DATA_BYTES_MAX} in all; keep it as a tree (--driver overlay)`,
				{ path: this.#where() },
			);
		}
		entries.setSparse(index, sizeBytes, start / BLOCK_BYTES);
		this.#dataStart = start;
		this.dataSizeBytes = Math.ceil((start + sizeBytes) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
	}

	/** The number of the entry's set, from 1; 0 where nothing of it is kept. */
	#xattrs(entry: TarEntry): number {
		const kept = keptXattrs(entry, this.#options.owners, this.warnings, this.#where);
		if (kept.length === 0) return 0;
		const sorted = [...kept].sort((a, b) => Buffer.compare(a.name, b.name));
		const key = sorted
			.map(({ name, value }) => `${name.length} ${latin1(name)}${value.length} ${latin1(value)}`)
			.join("");
		const known = this.#setIds.get(key);
		if (known !== undefined) return known;
		this.#xattrsBytes += key.length;
		if (this.#xattrsBytes > XATTRS_BYTES_MAX) {
			throw new LamellaError(
				"ENOTSUPPORTED",
				`the layer has more than ${XATTRS_BYTES_MAX} bytes of different xattrs; keep it as a tree (--driver overlay)`,
			);
		}
		// Copies: the entry's may be views of something larger.
		this.xattrSets.push(
			sorted.map(({ name, value }) => ({ name: Buffer.from(name), value: Buffer.from(value) })),
		);
		this.#setIds.set(key, this.xattrSets.length);
		return this.xattrSets.length;
	}
}
