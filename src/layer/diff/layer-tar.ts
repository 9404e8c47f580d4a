/**
 * Writes the members of a layer tar: files from open directories, whiteouts, opaque marks. In which order and
 * which of them is diff.ts's affair.
 *
 * Names are as in dockerd's own layers: relative, without `./`, directories with a slash at the end, and `./` for
 * the root. Owners are numbers alone. The same tree gives the same bytes: marks have fixed metadata, xattrs are
 * sorted, and the first path of a link set in the order of writing is the file, later ones are links to it.
 */
import { isLamellaError, LamellaError } from "../../errors/index.ts";
import type { JobContext } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import { type TarEntry, type TarEntryType, TarWriter } from "../../tar/index.ts";
import { OwnerMapper } from "../apply/entry-owner.ts";
import type { OverlayXattrPrefix, WarningKind } from "../contract.ts";
import type { DiffRequest, DiffResult } from "../jobs/job-contract.ts";
import { OPAQUE_NAME, whiteoutName } from "../overlay/whiteout.ts";
import type { Located } from "../tree/compare.ts";
import { dataExtents } from "../tree/data-extents.ts";
import type { TreePath } from "../tree/tree-path.ts";
import { InodeMap } from "../tree/walk.ts";
import { readXattrsAt } from "../tree/xattrs.ts";
import { WarningList } from "../warnings.ts";
import { TarOutput } from "./tar-output.ts";

const CHUNK_BYTES = 1 << 20;
const PERMISSIONS = 0o7777;
const MARK_MODE = 0o600;
const READ_FLAGS = linux.O_RDONLY | linux.O_NOFOLLOW | linux.O_NONBLOCK;
const ROOT_PATH = Buffer.from("./");
const SLASH = Buffer.from("/");
const OPAQUE = Buffer.from(OPAQUE_NAME);
const NOTHING = Buffer.alloc(0);

/** Content is read into it, then written out: one for the thread, which does one job at a time. */
let chunk: Buffer | undefined;
/** The tar in the making, likewise. */
let pieces: Buffer | undefined;

export class LayerTar {
	readonly #output: TarOutput;
	readonly #tar: TarWriter;
	readonly #owners: OwnerMapper;
	readonly #expandHoles: boolean;
	readonly #context: JobContext;
	readonly #links = new InodeMap<Buffer>();
	readonly #warnings = new WarningList();
	/** What overlayfs's own xattrs on disk begin with; they say nothing of the layer. */
	readonly #ownXattrs: OverlayXattrPrefix | undefined;
	#contentSizeBytes = 0;

	constructor(request: DiffRequest, context: JobContext) {
		const { subject } = request;
		this.#ownXattrs = subject.form === "upper" ? subject.xattrPrefix : undefined;
		this.#output = new TarOutput(request.fd, context);
		this.#owners = new OwnerMapper(request.idMaps, "to container");
		this.#expandHoles = request.expandHoles === true;
		this.#context = context;
		pieces ??= Buffer.allocUnsafeSlow(CHUNK_BYTES);
		this.#tar = new TarWriter((bytes) => this.#output.write(bytes), {
			wholeSeconds: request.wholeSeconds,
			buffer: pieces,
		});
	}

	/**
	 * Writes a file or directory as `path` (within the layer; empty for the root). Directories come without what
	 * they hold.
	 */
	add(located: Located, treePath: TreePath): void {
		const { stat } = located;
		const path = treePath.bytes;
		if (stat.nlink > 1 && !linux.isDirectory(stat)) {
			const first = this.#links.get(stat);
			if (first !== undefined) {
				const linked = { type: "hardlink", linkPath: first, sizeBytes: 0, xattrs: [] } as const;
				this.#entry({ ...this.#describe(located, path), ...linked });
				this.#tar.entryEnd();
				return;
			}
			this.#links.set(stat, path);
		}
		if (linux.isRegular(stat)) {
			this.#addRegular(located, path);
		} else {
			this.#entry(this.#describe(located, path));
			this.#tar.entryEnd();
			if (!linux.isDirectory(stat)) this.#contentSizeBytes += stat.sizeBytes;
		}
	}

	/** Says that a path is not in the layer, and why. */
	leaveOut(path: TreePath, kind: WarningKind): void {
		this.#warnings.add(kind, () => String(path));
	}

	/** Writes the mark that what was at `path` is deleted. */
	addWhiteout(path: TreePath): void {
		this.#addMark((path.parent ?? path).child(whiteoutName(path.name)).bytes);
	}

	/** Writes the mark that nothing below counts in `directory`. Comes before what the directory holds. */
	addOpaque(directory: TreePath): void {
		this.#addMark(directory.child(OPAQUE).bytes);
	}

	/** Ends the tar. */
	finish(): DiffResult {
		this.#tar.finish();
		return {
			diffId: this.#output.diffId(),
			tarSizeBytes: this.#output.sizeBytes,
			contentSizeBytes: this.#contentSizeBytes,
			warnings: this.#warnings.list(),
		};
	}

	#addMark(path: Buffer): void {
		this.#entry({
			path,
			type: "file",
			mode: MARK_MODE,
			uid: 0,
			gid: 0,
			sizeBytes: 0,
			mtimeNs: 0n,
			linkPath: NOTHING,
			deviceMajor: 0,
			deviceMinor: 0,
			xattrs: [],
		});
		this.#tar.entryEnd();
	}

	#addRegular(found: Located, path: Buffer): void {
		const fd = linux.openat(found.directoryFd, found.name, READ_FLAGS);
		try {
			const stat = linux.fstat(fd);
			// The name may have been given to a fifo, a device or another file since its stat; the descriptor is the truth.
			if (!linux.isRegular(stat)) {
				throw new LamellaError(
					"EBUSY",
					`"${linux.escapePath(path)}" was replaced while it was read; try again`,
					{
						path: linux.escapePath(path),
					},
				);
			}
			const extents = this.#expandHoles ? undefined : dataExtents(fd, stat);
			this.#entry({ ...this.#describe({ ...found, stat }, path), dataExtents: extents });
			for (const extent of extents ?? [{ offset: 0, sizeBytes: stat.sizeBytes }]) {
				this.#copyContent(fd, extent, path);
			}
			this.#tar.entryEnd();
			this.#contentSizeBytes += stat.sizeBytes;
		} finally {
			linux.close(fd);
		}
	}

	/**
	 * A file that grew since its header was written is cut, one that shrank is filled up with zeros: the layer may
	 * be in use (a log that is rotated must not make the whole diff fail), and the archive stays well-formed.
	 */
	#copyContent(fd: number, { offset, sizeBytes }: { offset: number; sizeBytes: number }, path: Buffer): void {
		chunk ??= Buffer.allocUnsafeSlow(CHUNK_BYTES);
		let isShort = false;
		for (let done = 0; done < sizeBytes; ) {
			this.#context.checkAborted();
			const wanted = Math.min(chunk.length, sizeBytes - done);
			let count = linux.pread(fd, chunk, 0, wanted, offset + done);
			if (count === 0) {
				isShort = true;
				chunk.fill(0, 0, wanted);
				count = wanted;
			}
			this.#tar.data(chunk.subarray(0, count));
			done += count;
		}
		if (isShort) this.#warnings.add("shrunk", () => linux.escapePath(path));
	}

	#describe(located: Located, path: Buffer): TarEntry {
		const { directoryFd, name, stat } = located;
		const type = entryType(stat);
		const device = type === "character" || type === "block";
		return {
			path: type === "directory" ? directoryPath(path) : path,
			type,
			mode: stat.mode & PERMISSIONS,
			...this.#ownership(located, path),
			sizeBytes: type === "file" ? stat.sizeBytes : 0,
			mtimeNs: stat.mtimeNs,
			linkPath: type === "symlink" ? linux.readlinkat(directoryFd, name) : NOTHING,
			deviceMajor: device ? stat.rdevMajor : 0,
			deviceMinor: device ? stat.rdevMinor : 0,
		};
	}

	/** Owner and xattrs as the container has them. */
	#ownership({ directoryFd, name, stat }: Located, path: Buffer): Pick<TarEntry, "uid" | "gid" | "xattrs"> {
		try {
			return {
				uid: this.#owners.uid(stat.uid),
				gid: this.#owners.gid(stat.gid),
				xattrs: readXattrsAt(directoryFd, name, (xattr) => this.#leaveOutXattr(xattr, path)).map((xattr) => ({
					name: xattr.name,
					value: this.#owners.xattrValue(xattr.name.toString("latin1"), xattr.value),
				})),
			};
		} catch (error) {
			if (!isLamellaError(error)) throw error;
			const shown = linux.escapePath(path);
			throw new LamellaError(error.code, `an owner of "${shown}": ${error.message}`, {
				path: shown,
				cause: error,
			});
		}
	}

	/** Overlayfs's marks of this layer go without saying; what an overlay within the container made does not. */
	#leaveOutXattr(xattr: string, path: Buffer): void {
		const own = this.#ownXattrs;
		if (own !== undefined && xattr.startsWith(own) && !xattr.startsWith(`${own}overlay.`)) return;
		const name = linux.escapePath(Buffer.from(xattr, "latin1"));
		this.#warnings.add("overlay-xattr", () => linux.escapePath(path), name);
	}

	#entry(entry: TarEntry): void {
		this.#context.checkAborted();
		this.#tar.entry(entry);
	}
}

function directoryPath(path: Buffer): Buffer {
	return path.length === 0 ? ROOT_PATH : Buffer.concat([path, SLASH]);
}

function entryType(stat: linux.Stat): TarEntryType {
	if (linux.isRegular(stat)) return "file";
	if (linux.isDirectory(stat)) return "directory";
	if (linux.isSymlink(stat)) return "symlink";
	if (linux.isCharacter(stat)) return "character";
	return linux.isBlock(stat) ? "block" : "fifo";
}
