/**
 * Writes what a layer changed as an OCI layer tar, and tells how much content that would be.
 *
 * Order: tree order with names bytewise, so parents come before what they hold; a whiteout stands where its name
 * would (sorted by the name that it hides), an opaque mark right behind its directory.
 *
 * For an upper everything that is in the upper is written, directories that were only copied up too: they carry
 * times that the layer changed. The root is written as `./` only where its metadata (mtime too) is not that of the
 * topmost lower, so that a layer without changes is an empty tar.
 *
 * Source: OCI image spec, layer.md; the names are those of dockerd 20.10's layers.
 */

import { LamellaError } from "../../errors/index.ts";
import type { JobContext } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import type { DiffSubject, TreeSubject, WarningKind } from "../contract.ts";
import type { DiffRequest, DiffResult } from "../jobs/job-contract.ts";
import { MergedView } from "../overlay/merged-view.ts";
import { isWhiteoutDevice, MarkReader } from "../overlay/overlay-marks.ts";
import { WHITEOUT_PREFIX } from "../overlay/whiteout.ts";
import { readIndexHeader } from "../packed/index-file.ts";
import { writePackedDiff } from "../packed/packed-diff.ts";
import { asLamellaError } from "../system-failure.ts";
import { FileComparer, type Located } from "../tree/compare.ts";
import { DirectoryStack } from "../tree/directory-stack.ts";
import { TreePath } from "../tree/tree-path.ts";
import { InodeMap, openTop, runWalk, sortedNames, type Walk } from "../tree/walk.ts";
import { type ChangeRecord, findChanges } from "./changes.ts";
import { LayerTar } from "./layer-tar.ts";

const ROOT_NAME = Buffer.from(".");
const WHITEOUT_START = Buffer.from(WHITEOUT_PREFIX);

type UpperSubject = Extract<DiffSubject, { form: "upper" }>;

/** What takes the members of a layer in order: the tar, or the sum of sizes. */
interface LayerSink {
	add(located: Located, path: TreePath): void;
	/** Marks that what was at `path` is deleted. */
	addWhiteout(path: TreePath): void;
	addOpaque(directory: TreePath): void;
	leaveOut(path: TreePath, kind: WarningKind): void;
}

/**
 * Writes the layer tar to `request.fd`, in one pass and in constant memory but for a path for each file with more
 * than one link (and, where two trees are compared, for each path that differs). A packed layer's is the one that it has.
 * @throws {LamellaError} `ENOTSUPPORTED` for an upper with redirect or metacopy marks, and for a change that a layer
 * cannot say (unless `skipUnsupported`); `EINVALID` for an owner that the ID maps do not cover, `EBUSY` for a file that was replaced by something else while it was read, `EABORTED`, `ESYSTEM`
 */
export function writeDiff(request: DiffRequest, context: JobContext): DiffResult {
	const { subject } = request;
	if (subject.form === "packed") return writePackedDiff(request, subject, context);
	try {
		const tar = new LayerTar(request, context);
		emit(subject, new Sayable(tar, request.skipUnsupported === true), context);
		return tar.finish();
	} catch (error) {
		const where = (): string => (subject.form === "upper" ? subject.upper : subject.to);
		throw asLamellaError(error, "write the diff of", where);
	}
}

/** What writeDiff's contentSizeBytes would be: lengths of files and of symlinks' targets, each inode once. */
export function diffSize(subject: DiffSubject, context: JobContext): number {
	if (subject.form === "packed") return readIndexHeader(subject.layer).contentSizeBytes;
	const sum = new ContentSum(context);
	emit(subject, new Sayable(sum, true), context);
	return sum.sizeBytes;
}

function emit(subject: TreeSubject, sink: Sayable, context: JobContext): void {
	if (subject.form === "upper") emitUpper(subject, sink);
	else if (subject.from === undefined) emitTree(subject.to, sink);
	else emitDifferences(subject, sink, context);
}

class ContentSum implements LayerSink {
	sizeBytes = 0;
	readonly #seen = new InodeMap<true>();
	readonly #context: JobContext;

	constructor(context: JobContext) {
		this.#context = context;
	}

	add({ stat }: Located): void {
		this.#context.checkAborted();
		if (linux.isDirectory(stat)) return;
		if (stat.nlink > 1) {
			if (this.#seen.get(stat) === true) return;
			this.#seen.set(stat, true);
		}
		this.sizeBytes += stat.sizeBytes;
	}

	addWhiteout(): void {}

	addOpaque(): void {}

	leaveOut(): void {}
}

/**
 * Lets through to a sink what a layer can say. Names that begin with `.wh.` mean deletions there, so that a file which
 * really has such a name cannot be in one, nor can it be deleted; a tar has no sockets; and overlayfs takes a
 * device 0:0 for a whiteout. What is only missing from the layer is left out with a warning.
 */
class Sayable {
	readonly sink: LayerSink;
	readonly #skipUnsupported: boolean;

	constructor(sink: LayerSink, skipUnsupported: boolean) {
		this.sink = sink;
		this.#skipUnsupported = skipUnsupported;
	}

	/** `isInParent`: whether what the layer stands on shows something under that path. False where it is left out. */
	add(found: Located, path: TreePath, isInParent: () => boolean): boolean {
		if (isWhiteoutName(path.name)) {
			this.#leaveOutName(path, isInParent);
			return false;
		}
		const isSocket = linux.isSocket(found.stat);
		if (!isSocket && !isWhiteoutDevice(found.stat)) {
			this.sink.add(found, path);
			return true;
		}
		this.sink.leaveOut(path, isSocket ? "socket" : "whiteout-device");
		// Else the parent's file would be there again.
		if (isInParent()) this.sink.addWhiteout(path);
		return false;
	}

	addWhiteout(path: TreePath): void {
		if (isWhiteoutName(path.name)) this.#leaveOutName(path, () => true);
		else this.sink.addWhiteout(path);
	}

	#leaveOutName(path: TreePath, isInParent: () => boolean): void {
		if (!this.#skipUnsupported && isInParent()) {
			const shown = String(path);
			throw new LamellaError(
				"ENOTSUPPORTED",
				`"${shown}" was changed or deleted, and a layer cannot say so, because a name that begins with ".wh." ` +
					"means a deletion there; put it back, or skip it (--skip-unsupported) and keep the parent's",
				{ path: shown },
			);
		}
		this.sink.leaveOut(path, "whiteout-name");
	}
}

function isWhiteoutName(name: Buffer): boolean {
	return name.subarray(0, WHITEOUT_PREFIX.length).equals(WHITEOUT_START);
}

function emitUpper(subject: UpperSubject, sayable: Sayable): void {
	const { sink } = sayable;
	const { upper, lowers, xattrPrefix } = subject;
	const fd = openTop(upper);
	try {
		using view = new MergedView(lowers, { xattrPrefix });
		const root: Located = { directoryFd: fd, name: ROOT_NAME, stat: linux.fstat(fd) };
		if (rootChanged(root, view)) sink.add(root, TreePath.root);
		using directories = new DirectoryStack(fd);
		const walk = new UpperWalk(directories, new MarkReader(xattrPrefix), view, sayable);
		runWalk(walk.visit(TreePath.root, false));
	} finally {
		linux.close(fd);
	}
}

function rootChanged(root: Located, view: MergedView): boolean {
	const below = view.lookup([]);
	if (below === undefined) return true;
	const { stat, directoryFd } = below;
	if (stat.mtimeNs !== root.stat.mtimeNs) return true;
	return !new FileComparer().same(root, { stat, directoryFd, name: ROOT_NAME });
}

class UpperWalk {
	readonly #directories: DirectoryStack;
	readonly #marks: MarkReader;
	readonly #view: MergedView;
	readonly #sayable: Sayable;

	constructor(directories: DirectoryStack, marks: MarkReader, view: MergedView, sayable: Sayable) {
		this.#directories = directories;
		this.#marks = marks;
		this.#view = view;
		this.#sayable = sayable;
	}

	/** `hidden`: a directory above is opaque, so whiteouts here hide nothing. */
	*visit(directory: TreePath, hidden: boolean): Walk {
		const directories = this.#directories;
		const marks = this.#marks.directory(directories.fd, () => String(directory));
		if (marks.opaque && !hidden) this.#sayable.sink.addOpaque(directory);
		const hides = hidden || marks.opaque;
		for (const { name } of sortedNames(directories.fd)) {
			const { fd } = directories;
			const stat = linux.tryFstatat(fd, name);
			// Undefined: gone since it was listed, from a layer that is in use.
			if (stat === undefined) continue;
			const path = directory.childInLayer(name);
			const isInParent = (): boolean => !hides && this.#view.lookup(path.names) !== undefined;
			if (this.#marks.isWhiteout(marks, fd, name, stat)) {
				if (isInParent()) this.#sayable.addWhiteout(path);
				continue;
			}
			this.#marks.refuseMetacopy(fd, name, stat, () => String(path));
			const isAdded = this.#sayable.add({ directoryFd: fd, name, stat }, path, isInParent);
			if (!isAdded || !linux.isDirectory(stat)) continue;
			directories.enter(name);
			yield this.visit(path, hides);
			directories.leave();
		}
	}
}

function emitTree(directory: string, sayable: Sayable): void {
	const fd = openTop(directory);
	try {
		sayable.sink.add({ directoryFd: fd, name: ROOT_NAME, stat: linux.fstat(fd) }, TreePath.root);
		using directories = new DirectoryStack(fd);
		runWalk(visitTree(directories, TreePath.root, sayable));
	} finally {
		linux.close(fd);
	}
}

function* visitTree(directories: DirectoryStack, directory: TreePath, sayable: Sayable): Walk {
	for (const { name } of sortedNames(directories.fd)) {
		const { fd } = directories;
		const stat = linux.tryFstatat(fd, name);
		if (stat === undefined) continue;
		const path = directory.childInLayer(name);
		const isAdded = sayable.add({ directoryFd: fd, name, stat }, path, () => false);
		if (!isAdded || !linux.isDirectory(stat)) continue;
		directories.enter(name);
		yield visitTree(directories, path, sayable);
		directories.leave();
	}
}

function emitDifferences(
	subject: Extract<DiffSubject, { form: "trees" }>,
	sayable: Sayable,
	context: JobContext,
): void {
	using view = new MergedView([subject.to], { plain: true });
	/** Directories that are left out: with them goes what they hold. */
	const skipped = new Set<ChangeRecord>();
	for (const record of findChanges(subject, context)) {
		const { path, parent, kind } = record;
		if (!record.inTar) continue;
		if (parent !== undefined && skipped.has(parent)) {
			skipped.add(record);
			continue;
		}
		if (kind === "D") {
			sayable.addWhiteout(path);
			continue;
		}
		const found = view.lookup(path.names);
		// Undefined: gone since it was compared.
		if (found === undefined) continue;
		if (path.isRoot) sayable.sink.add({ ...found, name: ROOT_NAME }, path);
		else if (!sayable.add(found, path, () => kind === "C")) skipped.add(record);
	}
}
