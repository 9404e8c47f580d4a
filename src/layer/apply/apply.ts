/**
 * Applies a layer tar to a directory, entry by entry as a TarReader tells them: to a layer's `diff/` in overlay form,
 * or to a whole tree that the layer changes in place. Synchronous, for a worker thread.
 *
 * A regular file costs open, write, (chown, xattrs, chmod,) times, stat and close, and no look at anything else: its
 * directory is open from the entry before. Nothing that exists is ever opened for writing; what an entry replaces is
 * removed, so that an inode that another layer shares is never changed. What only the whole layer decides
 * (whiteouts, metadata of directories without an entry, directories' times) is left to finish-apply.ts.
 *
 * Source: OCI image spec, layer.md, "Applying Changesets".
 */
import type { IdMaps } from "../../idmap/index.ts";
import type { JobContext } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import type { TarEntry } from "../../tar/index.ts";
import type { TreeTarget } from "../contract.ts";
import { asLamellaError } from "../system-failure.ts";
import { measure } from "../tree/usage.ts";
import { WarningList } from "../warnings.ts";
import { awaitLowers } from "./await-lowers.ts";
import { entryMeaning, refuseWhiteoutDevice } from "./entry-meaning.ts";
import { isClamped, MetadataWriter } from "./entry-metadata.ts";
import { checkNumbers } from "./entry-numbers.ts";
import { OwnerMapper } from "./entry-owner.ts";
import { cleanEntryPath, forPeople, latin1, toBytes } from "./entry-path.ts";
import { finishApply } from "./finish-apply.ts";
import { HardLinks } from "./hard-links.ts";
import type { Applied, LayerReceiver } from "./layer-receiver.ts";
import { DanglingLink } from "./refusals.ts";
import type { Directory } from "./target-directory.ts";
import { TargetTree } from "./target-tree.ts";

const CREATE_FLAGS = linux.O_WRONLY | linux.O_CREAT | linux.O_EXCL | linux.O_NOFOLLOW;
const ACCESS_BITS = 0o777;
const BLOCK_BYTES = 512;
/** Files of this size and more begin to be written to the disk at once: see entryEnd. */
const WRITEBACK_BYTES = 256 << 10;

export interface ApplyOptions {
	readonly idMaps?: IdMaps | undefined;
	readonly context: JobContext;
}

/** See the head of the file. Call `finish` after the tar's end, and `close` in any case. */
export class LayerApplier implements LayerReceiver {
	readonly #target: TreeTarget;
	readonly #context: JobContext;
	readonly #tree: TargetTree;
	readonly #metadata: MetadataWriter;
	readonly #links: HardLinks;
	#entry: TarEntry | undefined;
	/** Of the regular file that is being written; -1 where there is none. */
	#fd = -1;
	#directory: Directory;
	#entries = 0;
	#contentSizeBytes = 0;
	#sizeBytes = 0;
	#inodes = 0;
	readonly #warnings = new WarningList();
	/** A hard link whose file has not been seen: only the rest of the tar tells what is wrong with it. */
	#dangling: DanglingLink | undefined;
	readonly #where = (): string => (this.#entry === undefined ? "/" : forPeople(latin1(this.#entry.path)));

	constructor(target: TreeTarget, options: ApplyOptions) {
		this.#target = target;
		this.#context = options.context;
		try {
			this.#tree = new TargetTree(target, () => awaitLowers(target, options.context));
		} catch (error) {
			throw asLamellaError(error, "apply a layer to", () => forPeople(target.directory));
		}
		const owners = new OwnerMapper(options.idMaps);
		this.#metadata = new MetadataWriter(this.#tree.fd(this.#tree.root), owners, this.#warnings);
		this.#links = new HardLinks(this.#tree, target.form === "overlay" && target.shareInodes);
		this.#directory = this.#tree.root;
	}

	/**
	 * @throws {LamellaError} `EUNSAFE` for what layers must not have, `ETAR` for what contradicts itself, `ENOSPACE`,
	 * `EXATTR`, `EINVALID` for an id that the ID map lacks, `EPERMISSION`, `ESYSTEM`
	 */
	entry(entry: TarEntry): void {
		this.#entry = entry;
		this.#entries += 1;
		this.#context.checkAborted();
		try {
			if (this.#dangling !== undefined) {
				if (cleanEntryPath(entry.path) === this.#dangling.target) throw this.#dangling.comesLater();
				return;
			}
			checkNumbers(entry);
			this.#apply(entry);
		} catch (error) {
			if (error instanceof DanglingLink) {
				this.#dangling = error;
				return;
			}
			throw asLamellaError(error, "apply", this.#where);
		}
	}

	data(chunk: Uint8Array, offset: number): void {
		// -1: an entry that makes no file, a whiteout for example, may have content all the same.
		if (this.#fd === -1) return;
		try {
			if (this.#entry?.dataExtents === undefined) linux.write(this.#fd, chunk, 0, chunk.length);
			else linux.pwrite(this.#fd, chunk, 0, chunk.length, offset);
		} catch (error) {
			throw asLamellaError(error, "write", this.#where);
		}
	}

	entryEnd(): void {
		if (this.#fd === -1 || this.#entry === undefined) return;
		const entry = this.#entry;
		const fd = this.#fd;
		try {
			if (entry.dataExtents !== undefined) linux.ftruncate(fd, entry.sizeBytes);
			// After the content, for a write drops capabilities.
			this.#metadata.finishNew(fd, entry, this.#directory, this.#where);
			linux.futimens(fd, entry.atimeNs ?? entry.mtimeNs, entry.mtimeNs);
			this.#finished(linux.fstat(fd), entry);
			// Else the disk would idle until the whole import is flushed, and the import then wait for the disk.
			if (entry.sizeBytes >= WRITEBACK_BYTES) linux.startWriteback(fd);
		} catch (error) {
			throw asLamellaError(error, "write", this.#where);
		}
		this.#fd = -1;
		linux.close(fd);
	}

	unresolvedAcl(path: Buffer, xattr: string): void {
		this.#warnings.add("acl", () => linux.escapePath(path), xattr);
	}

	/** To be called once, after the last entry. @throws {LamellaError} as `entry` */
	finish(): Applied {
		try {
			if (this.#dangling !== undefined) throw this.#dangling.isNowhere();
			finishApply(this.#tree, {
				target: this.#target,
				metadata: this.#metadata,
				brought: this.#links.brought,
				context: this.#context,
				warnings: this.#warnings,
				count: (stat) => this.#count(stat),
			});
		} catch (error) {
			throw asLamellaError(error, "finish", () => this.#target.directory);
		}
		// What was made can only be added up where nothing was there before and nothing went again.
		const exact = this.#tree.startedEmpty && !this.#tree.replaced && !this.#links.madeFiles;
		const made = {
			usage: { sizeBytes: this.#sizeBytes, inodes: this.#inodes },
			contentSizeBytes: this.#contentSizeBytes,
		};
		const measured = exact ? made : measure([this.#target.directory], this.#context);
		const { usage } = measured;
		// A plain tree has more in it than this layer, which is not what its size is to tell.
		const { contentSizeBytes } = this.#target.form === "overlay" ? measured : made;
		return { usage, contentSizeBytes, entries: this.#entries, warnings: this.#warnings.list() };
	}

	/** Closes all descriptors. What was written stays for the caller to discard. */
	close(): void {
		const fd = this.#fd;
		this.#fd = -1;
		try {
			if (fd !== -1) linux.close(fd);
		} finally {
			this.#tree.close();
		}
	}

	[Symbol.dispose](): void {
		this.close();
	}

	#apply(entry: TarEntry): void {
		const meaning = entryMeaning(entry, this.#where);
		switch (meaning.is) {
			case "root":
				this.#setDirectory(this.#tree.root, entry, false);
				return;
			case "aufs":
				this.#warnings.add("aufs-name", this.#where);
				return;
			case "opaque":
				this.#tree.makeOpaque(this.#tree.resolve(meaning.directory));
				return;
			case "whiteout":
				this.#tree.whiteOut(this.#tree.resolve(meaning.directory), meaning.name);
				return;
			case "member":
				this.#applyMember(this.#tree.resolve(meaning.directory), meaning.name, entry);
		}
	}

	#applyMember(directory: Directory, name: string, entry: TarEntry): void {
		this.#directory = directory;
		switch (entry.type) {
			case "file":
				this.#tree.makePresent(directory);
				this.#fd = this.#make(directory, name, (fd, bytes) =>
					linux.openat(fd, bytes, CREATE_FLAGS, entry.mode & ACCESS_BITS),
				);
				break;
			case "directory":
				this.#tree.makePresent(directory);
				this.#applyDirectory(directory, name, entry);
				break;
			case "hardlink":
				this.#links.link(directory, name, entry.linkPath);
				break;
			default:
				this.#tree.makePresent(directory);
				this.#applyNode(directory, name, entry);
		}
	}

	#applyDirectory(parent: Directory, name: string, entry: TarEntry): void {
		const { directory, created } = this.#tree.makeDirectory(
			parent,
			name,
			entry.mode & ACCESS_BITS,
			"explicit",
		);
		if (created) this.#links.replaced(parent, name);
		this.#setDirectory(directory, entry, created);
	}

	#setDirectory(directory: Directory, entry: TarEntry, created: boolean): void {
		const { parent } = directory;
		if (!created || parent === undefined) {
			this.#metadata.replace(this.#tree.fd(directory), entry, this.#where);
		} else if (this.#metadata.needsFinish(entry, parent)) {
			this.#metadata.finishNew(this.#tree.fd(directory), entry, parent, this.#where);
		}
		directory.implied = false;
		directory.setgid = (entry.mode & linux.S_ISGID) !== 0;
		directory.hasDefaultAcl = false;
		directory.atimeNs = entry.atimeNs ?? entry.mtimeNs;
		directory.mtimeNs = entry.mtimeNs;
		directory.defaultAcl = this.#metadata.defaultAclOf(entry.xattrs);
	}

	#applyNode(directory: Directory, name: string, entry: TarEntry): void {
		const isLink = entry.type === "symlink";
		const { deviceMajor, deviceMinor } = entry;
		refuseWhiteoutDevice(entry, this.#where);
		this.#make(directory, name, (fd, bytes) => {
			if (isLink) linux.symlinkat(entry.linkPath, fd, bytes);
			else linux.mknodat(fd, bytes, formatOf(entry) | (entry.mode & ACCESS_BITS), deviceMajor, deviceMinor);
		});
		const fd = this.#tree.fd(directory);
		const { setgid, hasDefaultAcl } = directory;
		this.#metadata.finishNode(fd, name, entry, { setgid, hasDefaultAcl, isLink }, this.#where);
		linux.utimensat(fd, toBytes(name), entry.atimeNs ?? entry.mtimeNs, entry.mtimeNs);
		this.#finished(linux.fstatat(fd, toBytes(name)), entry);
	}

	/** Makes a non-directory, in the place of whatever is there. */
	#make<T>(directory: Directory, name: string, make: (directoryFd: number, name: string | Buffer) => T): T {
		this.#tree.prepareLeaf(directory, name);
		this.#links.replaced(directory, name);
		const bytes = toBytes(name);
		try {
			return make(this.#tree.fd(directory), bytes);
		} catch (error) {
			if (!linux.isSystemError(error, "EEXIST")) throw error;
			this.#tree.clear(directory, name);
			return make(this.#tree.fd(directory), bytes);
		}
	}

	#finished(stat: linux.Stat, entry: TarEntry): void {
		if (isClamped(entry.mtimeNs, stat.mtimeNs)) this.#warnings.add("time", this.#where);
		this.#count(stat);
	}

	#count(stat: linux.Stat): void {
		if (!linux.isDirectory(stat)) this.#contentSizeBytes += stat.sizeBytes;
		this.#sizeBytes += stat.blocks * BLOCK_BYTES;
		this.#inodes += 1;
	}
}

function formatOf(entry: TarEntry): number {
	switch (entry.type) {
		case "character":
			return linux.S_IFCHR;
		case "block":
			return linux.S_IFBLK;
		default:
			return linux.S_IFIFO;
	}
}
