/**
 * What a packed layer changed of those below, as changes.ts tells it of an upper directory: the chain is merged without
 * the layer and with it, and both trees are gone through side by side, where the layer did anything.
 */
import { type FileTree, NONE } from "../../erofs/index.ts";
import type { JobContext } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import type { Change, DiffSubject } from "../contract.ts";
import { ContentComparer } from "../tree/compare.ts";
import { TreePath } from "../tree/tree-path.ts";
import { runWalk, type Walk } from "../tree/walk.ts";
import { sameXattrs } from "../tree/xattrs.ts";
import { readIndex } from "./index-file.ts";
import { type LayerDevice, layerDevices } from "./layer-files.ts";
import type { LayerMerger } from "./layer-merger.ts";
import { mergeIndex, mergeLayers } from "./merge-layers.ts";

const BLOCK_BYTES = 512;

/** @throws {LamellaError} `ECORRUPT`, `EABORTED` */
export function packedChanges(
	{ layer, lowers }: Extract<DiffSubject, { form: "packed" }>,
	context: JobContext,
): Change[] {
	const before = mergeLayers(lowers, context).tree;
	const { tree: after, devices } = mergeLayers(lowers, context);
	const index = readIndex(layer);
	const merger = mergeIndex(after, index, devices.length, context);
	using comparer = new InodeComparer([...devices, ...layerDevices(layer, index)], context);
	const walk = new ChangeWalk(before, after, merger, comparer, context);
	runWalk(walk.visit(before.root, after.root, undefined));
	return walk.changes.flatMap(({ kind, path }) =>
		kind === undefined ? [] : [{ kind, path: Buffer.concat([Buffer.from("/"), path.bytes]) }],
	);
}

interface PackedRecord {
	readonly path: TreePath;
	readonly parent: PackedRecord | undefined;
	kind: Change["kind"] | undefined;
}

class ChangeWalk {
	readonly changes: PackedRecord[] = [];
	readonly #before: FileTree;
	readonly #after: FileTree;
	readonly #merger: LayerMerger;
	readonly #comparer: InodeComparer;
	readonly #context: JobContext;

	constructor(
		before: FileTree,
		after: FileTree,
		merger: LayerMerger,
		comparer: InodeComparer,
		context: JobContext,
	) {
		this.#before = before;
		this.#after = after;
		this.#merger = merger;
		this.#comparer = comparer;
		this.#context = context;
	}

	/** A directory in both trees; NONE where one has none. The root has no record. */
	*visit(before: number, after: number, record: PackedRecord | undefined): Walk {
		this.#context.checkAborted();
		const names = new Map<string, [before: number, after: number]>();
		for (let at = childOf(this.#after, after); at !== NONE; at = this.#after.nextSibling(at)) {
			names.set(latin1Name(this.#after, at), [NONE, at]);
		}
		for (let at = childOf(this.#before, before); at !== NONE; at = this.#before.nextSibling(at)) {
			const name = latin1Name(this.#before, at);
			names.set(name, [at, names.get(name)?.[1] ?? NONE]);
		}
		for (const [name, [old, now]] of [...names].sort(([a], [b]) => (a < b ? -1 : 1))) {
			const path = (record?.path ?? TreePath.root).child(Buffer.from(name, "latin1"));
			const child: PackedRecord = { path, parent: record, kind: undefined };
			const at = this.changes.push(child);
			if (now === NONE) this.#mark(child, "D");
			else if (old === NONE) this.#mark(child, "A");
			else if (!this.#comparer.same(this.#before, old, this.#after, now)) this.#mark(child, "C");
			if (now !== NONE && this.#after.isDirectory(now) && this.#merger.isChanged(now)) {
				yield this.visit(old !== NONE && this.#before.isDirectory(old) ? old : NONE, now, child);
			}
			if (child.kind === undefined && this.changes.length === at) this.changes.pop();
		}
	}

	/** Lists a record, and the directories above it as changed. */
	#mark(record: PackedRecord, kind: Change["kind"]): void {
		record.kind = kind;
		for (let above = record.parent; above !== undefined && above.kind === undefined; above = above.parent) {
			above.kind = "C";
		}
	}
}

/** Compares inodes of two trees over the same devices, as FileComparer compares files. */
class InodeComparer implements Disposable {
	readonly #devices: readonly LayerDevice[];
	readonly #content: ContentComparer;
	readonly #fds = new Map<number, number>();

	constructor(devices: readonly LayerDevice[], context: JobContext) {
		this.#devices = devices;
		this.#content = new ContentComparer(() => context.checkAborted());
	}

	same(aTree: FileTree, aEntry: number, bTree: FileTree, bEntry: number): boolean {
		const [a, b] = [aTree.inodeOf(aEntry), bTree.inodeOf(bEntry)];
		const [as, bs] = [aTree.inodes, bTree.inodes];
		const mode = as.modeOf(a);
		if (mode !== bs.modeOf(b) || as.uidOf(a) !== bs.uidOf(b) || as.gidOf(a) !== bs.gidOf(b)) return false;
		if (!sameXattrs(aTree.xattrSets.get(as.xattrsOf(a)), bTree.xattrSets.get(bs.xattrsOf(b)))) return false;
		if (linux.isDirectory(mode)) return true;
		if (
			as.mtimeSecondsOf(a) !== bs.mtimeSecondsOf(b) ||
			as.mtimeNanosecondsOf(a) !== bs.mtimeNanosecondsOf(b) ||
			as.sizeBytesOf(a) !== bs.sizeBytesOf(b) ||
			as.rdevOf(a) !== bs.rdevOf(b)
		) {
			return false;
		}
		if (linux.isSymlink(mode)) {
			return Buffer.compare(as.target(as.targetOf(a)), bs.target(bs.targetOf(b))) === 0;
		}
		const sizeBytes = as.sizeBytesOf(a);
		if (sizeBytes === 0) return true;
		const [aPlace, bPlace] = [as.deviceBlockOf(a) * BLOCK_BYTES, bs.deviceBlockOf(b) * BLOCK_BYTES];
		if (as.deviceOf(a) === bs.deviceOf(b) && aPlace === bPlace) return true;
		const aContent = { fd: this.#fdOf(as.deviceOf(a)), offset: aPlace };
		const bContent = { fd: this.#fdOf(bs.deviceOf(b)), offset: bPlace };
		return this.#content.same(aContent, bContent, sizeBytes);
	}

	[Symbol.dispose](): void {
		for (const fd of this.#fds.values()) linux.close(fd);
	}

	#fdOf(device: number): number {
		const open = this.#fds.get(device);
		if (open !== undefined) return open;
		const path = this.#devices[device - 1]?.path ?? "";
		const fd = linux.openat(linux.AT_FDCWD, path, linux.O_RDONLY | linux.O_NOFOLLOW);
		this.#fds.set(device, fd);
		return fd;
	}
}

function childOf(tree: FileTree, directory: number): number {
	return directory === NONE ? NONE : tree.firstChild(directory);
}

function latin1Name(tree: FileTree, entry: number): string {
	return Buffer.from(tree.nameOf(entry)).toString("latin1");
}
