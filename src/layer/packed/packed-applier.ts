/**
 * Takes a layer in as a packed one: its tar is written to layer.tar as it comes, in order, and indexed on the way.
 *
 * Where the layer's entries need something of the layers below to be right, the layer is merged over those in the end,
 * only to see whether that works: so that a layer that cannot be mounted fails here, as one that is applied to a tree.
 */
import path from "node:path";
import type { IdMaps } from "../../idmap/index.ts";
import type { JobContext } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import type { TarEntry } from "../../tar/index.ts";
import { awaitLowers } from "../apply/await-lowers.ts";
import { OwnerMapper } from "../apply/entry-owner.ts";
import type { Applied, LayerReceiver, ReceivedTar } from "../apply/layer-receiver.ts";
import type { PackedTarget } from "../contract.ts";
import type { DiffId } from "../digest/digest.ts";
import { asLamellaError } from "../system-failure.ts";
import { writeIndex } from "./index-file.ts";
import { DATA_FILE, TAR_FILE } from "./layer-files.ts";
import { LayerIndexer } from "./layer-indexer.ts";
import { contentOver } from "./merge-layers.ts";

const CREATE_FLAGS = linux.O_WRONLY | linux.O_CREAT | linux.O_EXCL | linux.O_NOFOLLOW;
const FILE_MODE = 0o400;
const BLOCK_BYTES = 512;
/** How much is written before the kernel is told to bring it to the disk. */
const WRITEBACK_BYTES = 8 << 20;
const NS_PER_SECOND = 1_000_000_000n;

export interface PackedApplierOptions {
	readonly idMaps?: IdMaps | undefined;
	readonly context: JobContext;
	/** The tar's length, where it is known before. */
	readonly tarSizeBytes?: number | undefined;
}

/** See the head of the file. Nothing is flushed: layer.tar, layer.data, layer.index and their directory are to be. */
export class PackedApplier implements LayerReceiver {
	readonly #target: PackedTarget;
	readonly #options: PackedApplierOptions;
	readonly #indexer: LayerIndexer;
	#tarFd = -1;
	#dataFd = -1;
	#written = 0;
	#broughtToDisk = 0;

	/** @throws {LamellaError} `ENOSPACE`, `EPERMISSION`, `ESYSTEM` */
	constructor(target: PackedTarget, options: PackedApplierOptions) {
		this.#target = target;
		this.#options = options;
		this.#indexer = new LayerIndexer({
			owners: new OwnerMapper(options.idMaps),
			context: options.context,
			hasLowers: target.lowers.length > 0,
			writeData: (chunk, position) => this.#writeData(chunk, position),
		});
		this.#attempt(TAR_FILE, () => {
			this.#tarFd = this.#create(TAR_FILE);
			if (options.tarSizeBytes !== undefined) preallocate(this.#tarFd, options.tarSizeBytes);
		});
	}

	/** @throws {LamellaError} as LayerIndexer */
	entry(entry: TarEntry, contentOffset: number): void {
		this.#indexer.entry(entry, contentOffset);
	}

	data(chunk: Uint8Array, offset: number): void {
		this.#indexer.data(chunk, offset);
	}

	entryEnd(): void {
		this.#indexer.entryEnd();
	}

	unresolvedAcl(entryPath: Buffer, xattr: string): void {
		this.#indexer.unresolvedAcl(entryPath, xattr);
	}

	bytes(chunk: Uint8Array): void {
		this.#attempt(TAR_FILE, () => {
			linux.write(this.#tarFd, chunk);
			this.#written += chunk.length;
			const news = this.#written - this.#broughtToDisk;
			if (news < WRITEBACK_BYTES) return;
			// Else the disk would idle until the import is flushed, and the import then wait for the disk.
			linux.startWriteback(this.#tarFd, this.#broughtToDisk, news);
			this.#broughtToDisk = this.#written;
		});
	}

	/** @throws {LamellaError} as `entry`; `ECORRUPT` for a damaged index of a lower; `EABORTED` where a lower failed */
	finish({ diffId, tarSizeBytes }: ReceivedTar): Applied {
		const { directory, lowers } = this.#target;
		const indexer = this.#indexer;
		const alone = indexer.finish();
		const { entries, xattrSets, dataSizeBytes, tarEntries, needsLowers } = indexer;
		const named = { diffId, tarSizeBytes, dataSizeBytes, tarEntries, needsLowers, entries, xattrSets };
		let contentSizeBytes = alone;
		if (needsLowers) {
			awaitLowers(this.#target, this.#options.context);
			contentSizeBytes = contentOver({ entries, xattrSets }, lowers, this.#options.context);
		}
		return this.#attempt(TAR_FILE, () => {
			const [tar, data] = [this.#complete(this.#tarFd, diffId), this.#completeData(diffId)];
			const indexBytes = writeIndex(directory, {
				...named,
				contentSizeBytes,
				tarMtimeNs: tar.mtimeNs,
				dataMtimeNs: data?.mtimeNs ?? 0n,
				idMaps: this.#options.idMaps,
			});
			const sizeBytes = (tar.blocks + (data?.blocks ?? 0)) * BLOCK_BYTES + indexBytes;
			return {
				usage: { sizeBytes, inodes: data === undefined ? 2 : 3 },
				contentSizeBytes,
				entries: tarEntries,
				warnings: indexer.warnings.list(),
			};
		});
	}

	[Symbol.dispose](): void {
		const fds = [this.#tarFd, this.#dataFd];
		this.#tarFd = -1;
		this.#dataFd = -1;
		for (const fd of fds) if (fd !== -1) linux.close(fd);
	}

	#writeData(chunk: Uint8Array, position: number): void {
		this.#attempt(DATA_FILE, () => {
			if (this.#dataFd === -1) this.#dataFd = this.#create(DATA_FILE);
			linux.pwrite(this.#dataFd, chunk, 0, chunk.length, position);
		});
	}

	/** Files that are nothing but a hole have had nothing written. */
	#completeData(diffId: DiffId): linux.Stat | undefined {
		const { dataSizeBytes } = this.#indexer;
		if (dataSizeBytes === 0) return undefined;
		if (this.#dataFd === -1) this.#dataFd = this.#create(DATA_FILE);
		linux.ftruncate(this.#dataFd, dataSizeBytes);
		return this.#complete(this.#dataFd, diffId);
	}

	/** Gives a file that nobody writes any more a time that no other has, so that one put in its place is noticed. */
	#complete(fd: number, diffId: DiffId): linux.Stat {
		const digits = BigInt(`0x${diffId.slice("sha256:".length, "sha256:".length + 16)}`);
		const mtimeNs = (linux.realtimeNs() / NS_PER_SECOND) * NS_PER_SECOND + (digits % NS_PER_SECOND);
		linux.futimens(fd, mtimeNs, mtimeNs);
		return linux.fstat(fd);
	}

	#create(name: string): number {
		return linux.openat(linux.AT_FDCWD, path.join(this.#target.directory, name), CREATE_FLAGS, FILE_MODE);
	}

	#attempt<T>(name: string, work: () => T): T {
		try {
			return work();
		} catch (error) {
			throw asLamellaError(error, "write", () => path.join(this.#target.directory, name));
		}
	}
}

/** So that a full disk is noticed at once, and the file lies in few pieces. A filesystem that cannot does without. */
function preallocate(fd: number, sizeBytes: number): void {
	if (sizeBytes === 0) return;
	try {
		linux.fallocate(fd, 0, 0, sizeBytes);
	} catch (error) {
		if (!linux.isSystemError(error, "EOPNOTSUPP", "ENOTSUP", "ENOSYS")) throw error;
	}
}
