/**
 * Check of a committed layer that is a tree, as far as a tree can be checked: no digest of it was kept. Marks that overlayfs
 * would misread, files that were written after the layer was committed, and a root that is not what its lowers give.
 */
import type { JobContext } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import type { OverlayXattrPrefix } from "../contract.ts";
import type { CheckTreeRequest, TreeProblem } from "../jobs/job-contract.ts";
import { DirectoryStack } from "../tree/directory-stack.ts";
import { TreePath } from "../tree/tree-path.ts";
import { openTop, runWalk, type Walk } from "../tree/walk.ts";
import { type MergedName, MergedWalk } from "./merged-view.ts";

/** So many of a kind are told one by one: a layer that was overwritten whole has as many as it has files. */
const TOLD_MAX = 20;

/** @throws {LamellaError} `EABORTED`, `ENOTSUPPORTED` where a layer below is redirected */
export function checkTree(request: CheckTreeRequest, context: JobContext): TreeProblem[] {
	const problems = new Problems();
	const fd = openTop(request.directory);
	try {
		using directories = new DirectoryStack(fd);
		runWalk(new TreeCheck(request, problems, directories, context).check(TreePath.root));
	} finally {
		linux.close(fd);
	}
	// Where a mark says that something is elsewhere, nobody can tell what the root would have to be.
	const isReadable = !problems.told.some(({ kind }) => kind === "marks-misread");
	if (request.root !== undefined && isReadable)
		compareRoot(request.root, request.xattrPrefix, problems, context);
	return [...problems.told, ...problems.rest(request.directory)];
}

class Problems {
	readonly told: TreeProblem[] = [];
	readonly #counts = new Map<TreeProblem["kind"], number>();

	add(kind: TreeProblem["kind"], path: string, message: string): void {
		const count = (this.#counts.get(kind) ?? 0) + 1;
		this.#counts.set(kind, count);
		if (count <= TOLD_MAX) this.told.push({ kind, path, message });
	}

	/** How many there are beyond those that are told. */
	*rest(directory: string): Generator<TreeProblem> {
		for (const [kind, count] of this.#counts) {
			if (count > TOLD_MAX) yield { kind, path: directory, message: `${count - TOLD_MAX} more like these` };
		}
	}
}

class TreeCheck {
	readonly #request: CheckTreeRequest;
	readonly #problems: Problems;
	readonly #directories: DirectoryStack;
	readonly #context: JobContext;
	readonly #nowNs = linux.realtimeNs();

	constructor(
		request: CheckTreeRequest,
		problems: Problems,
		directories: DirectoryStack,
		context: JobContext,
	) {
		this.#request = request;
		this.#problems = problems;
		this.#directories = directories;
		this.#context = context;
	}

	*check(path: TreePath): Walk {
		this.#checkMarks(".", path);
		for (const { name } of linux.readDirectory(this.#directories.fd)) {
			this.#context.checkAborted();
			const stat = linux.tryFstatat(this.#directories.fd, name);
			if (stat === undefined) continue;
			const at = path.child(name);
			if (linux.isDirectory(stat)) {
				this.#directories.enter(name);
				yield this.check(at);
				this.#directories.leave();
			} else if (linux.isRegular(stat)) {
				this.#checkMarks(name, at);
				this.#checkTime(stat, at);
			}
		}
	}

	/**
	 * A write sets mtime and ctime to one time, and nothing else does: a tar's mtime is another than that of its unpacking. Links
	 * and attributes that came later move ctime on, and hide it.
	 */
	#checkTime({ mtimeNs, ctimeNs }: linux.Stat, path: TreePath): void {
		if (mtimeNs !== ctimeNs || mtimeNs <= this.#request.sealedAtNs || mtimeNs > this.#nowNs) return;
		const when = new Date(Number(mtimeNs / 1_000_000n)).toISOString();
		this.#add("content-rewritten", path, `was written at ${when}, after the layer was committed`);
	}

	#checkMarks(name: Buffer | ".", path: TreePath): void {
		for (const bytes of linux.llistxattrAt(this.#directories.fd, name)) {
			const xattr = bytes.toString("latin1");
			const mark = /^(?:trusted|user)\.overlay\.(.*)$/s.exec(xattr)?.[1];
			if (mark === undefined) continue;
			const isOwn = xattr.startsWith(this.#request.xattrPrefix);
			// A mount with trusted.overlay. takes the others for plain xattrs.
			if (isOwn && (mark === "redirect" || mark === "metacopy"))
				this.#add("marks-misread", path, `carries ${xattr}: its content is in another place`);
			else if (isOwn && mark === "opaque" && !this.#isOpaqueValue(name, bytes))
				this.#add("marks-misread", path, `has another value in ${xattr} than overlayfs knows`);
		}
	}

	#isOpaqueValue(name: Buffer | ".", xattr: Buffer): boolean {
		const value = linux.lgetxattrAt(this.#directories.fd, name, xattr)?.toString("latin1");
		return value === "y" || value === "x";
	}

	#add(kind: TreeProblem["kind"], path: TreePath, what: string): void {
		const where = path.toString();
		this.#problems.add(kind, where, `"${where}" ${what}`);
	}
}

/** Every file of a root is the inode that its lowers have, or a copy where it could not be linked. */
function compareRoot(
	{ directory, lowers }: NonNullable<CheckTreeRequest["root"]>,
	xattrPrefix: OverlayXattrPrefix,
	problems: Problems,
	context: JobContext,
): void {
	const fd = openTop(directory);
	try {
		using merged = new MergedWalk(lowers, { xattrPrefix });
		using made = new DirectoryStack(fd);
		const differs = (path: TreePath, what: string): void =>
			problems.add(
				"derived-damaged",
				directory,
				`${directory} is not what the layers give: "${path}" ${what}`,
			);
		runWalk(compareDirectory(merged, made, TreePath.root, differs, context));
	} finally {
		linux.close(fd);
	}
}

function* compareDirectory(
	merged: MergedWalk,
	made: DirectoryStack,
	path: TreePath,
	differs: (path: TreePath, what: string) => void,
	context: JobContext,
): Walk {
	const extra = new Set(linux.readDirectory(made.fd).map(({ name }) => name.toString("latin1")));
	for (const entry of merged.entries()) {
		context.checkAborted();
		const at = path.child(entry.name);
		const stat = linux.tryFstatat(made.fd, entry.name);
		extra.delete(entry.name.toString("latin1"));
		if (stat === undefined) {
			differs(at, "is missing");
			continue;
		}
		const expected = expectedOf(merged, entry);
		if (!linux.isDirectory(expected)) {
			if (!isSameFile(expected, stat)) differs(at, "is another file");
		} else if (!isSameDirectory(expected, stat)) {
			differs(at, "is another directory, or another mode or owner");
		} else {
			merged.enter(entry);
			made.enter(entry.name);
			yield compareDirectory(merged, made, at, differs, context);
			merged.leave();
			made.leave();
		}
	}
	for (const name of extra) differs(path.child(Buffer.from(name, "latin1")), "is in none of them");
}

function expectedOf(merged: MergedWalk, entry: MergedName): linux.Stat {
	return linux.fstatat(merged.fdOf(entry), entry.name);
}

function isSameFile(a: linux.Stat, b: linux.Stat): boolean {
	if (a.dev === b.dev && a.ino === b.ino) return true;
	const same = ["mode", "uid", "gid", "sizeBytes", "mtimeNs", "rdevMajor", "rdevMinor"] as const;
	return same.every((field) => a[field] === b[field]);
}

function isSameDirectory(a: linux.Stat, b: linux.Stat): boolean {
	return a.mode === b.mode && a.uid === b.uid && a.gid === b.gid;
}
