/**
 * What a layer changed: the lines of `docker diff`, and for diff.ts which paths a layer tar must hold.
 *
 * One walk serves both forms of a subject. For an upper only the upper is walked and the lowers are looked up;
 * names that it lacks are unchanged, but below an opaque directory (and in every directory of a whole tree) names
 * that it lacks are deleted.
 *
 * The rules are those of moby's archive.Changes as dockerd 20.10 runs them for overlay2: A for each new path, D
 * for the top of what was deleted, C for what differs and for the directories above any change, never the root.
 * Where moby misses a change (equal size and mtime; xattrs other than security.capability; link targets) it is
 * told here. moby's order is that of a hash table; here it is tree order, names bytewise.
 */
import type { JobContext } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import type { Change, DiffSubject, TreeSubject } from "../contract.ts";
import { type MergedEntry, type MergedName, MergedWalk } from "../overlay/merged-view.ts";
import { MarkReader } from "../overlay/overlay-marks.ts";
import { packedChanges } from "../packed/packed-changes.ts";
import { FileComparer, type Located, sameInode } from "../tree/compare.ts";
import { DirectoryStack } from "../tree/directory-stack.ts";
import { TreePath } from "../tree/tree-path.ts";
import { openTop, runWalk, sortedNames, type Walk } from "../tree/walk.ts";
import { LinkSets } from "./link-sets.ts";

const ROOT_NAME = Buffer.from(".");
const SLASH = Buffer.from("/");

/** A path that the walk has something to say about; in tree order, parents first. */
export interface ChangeRecord {
	readonly path: TreePath;
	readonly parent: ChangeRecord | undefined;
	/** As `docker diff` has it; undefined for what it does not list. */
	kind: Change["kind"] | undefined;
	/** Whether a layer tar must hold it: also where only a directory's mtime or a link set changed. */
	inTar: boolean;
}

/** Everything that differs between the subject and what it stands on. */
export function findChanges(subject: TreeSubject, context: JobContext): ChangeRecord[] {
	const top = openTop(subject.form === "upper" ? subject.upper : subject.to);
	try {
		using walk = new ChangeWalk(subject, top, context);
		return walk.run();
	} finally {
		linux.close(top);
	}
}

/**
 * The subject's changes in tree order, paths absolute (`/etc/x`).
 * @throws {LamellaError} `ENOTSUPPORTED` for an upper with redirect or metacopy marks, `ECORRUPT` for a packed layer
 * whose files are not as they were, `EABORTED`.
 */
export function changesOf(subject: DiffSubject, context: JobContext): Change[] {
	if (subject.form === "packed") return packedChanges(subject, context);
	const changes: Change[] = [];
	for (const { kind, path } of findChanges(subject, context)) {
		if (kind !== undefined) changes.push({ kind, path: Buffer.concat([SLASH, path.bytes]) });
	}
	return changes;
}

/** A directory of the subject while it is walked. */
interface Visit {
	/** The walk through what the subject stands on, where it has the same directory. */
	readonly old: MergedWalk | undefined;
	readonly record: ChangeRecord;
	/** Names that are absent here are deleted. */
	readonly complete: boolean;
}

class ChangeWalk implements Disposable {
	readonly #subject: TreeSubject;
	readonly #context: JobContext;
	readonly #marks: MarkReader | undefined;
	readonly #comparer: FileComparer;
	readonly #records: ChangeRecord[] = [];
	readonly #links = new LinkSets<ChangeRecord>();
	/** Where in the subject the walk is. */
	readonly #directories: DirectoryStack;

	constructor(subject: TreeSubject, top: number, context: JobContext) {
		this.#directories = new DirectoryStack(top);
		this.#comparer = new FileComparer(context.checkAborted);
		this.#subject = subject;
		this.#context = context;
		this.#marks = subject.form === "upper" ? new MarkReader(subject.xattrPrefix) : undefined;
	}

	run(): ChangeRecord[] {
		const subject = this.#subject;
		using old = openOld(subject);
		const record: ChangeRecord = { path: TreePath.root, parent: undefined, kind: undefined, inTar: false };
		this.#records.push(record);
		const { top } = old;
		record.inTar = top === undefined || !this.#sameDirectory(this.#directories.fd, top.fd);
		runWalk(this.#visit({ old, record, complete: subject.form === "trees" }));
		for (const linked of this.#links.changed()) addToTar(linked);
		return this.#records.filter((found) => found.kind !== undefined || found.inTar);
	}

	[Symbol.dispose](): void {
		this.#directories[Symbol.dispose]();
	}

	*#visit(visit: Visit): Walk {
		const { old, record } = visit;
		const directories = this.#directories;
		const marks = this.#marks?.directory(directories.fd, () => String(record.path));
		const complete = visit.complete || marks?.opaque === true;
		const oldNames = complete && old !== undefined ? old.entries() : [];
		let next = 0;
		for (const { name } of sortedNames(directories.fd)) {
			for (; precedes(oldNames[next], name); next++) this.#deleted(record, oldNames[next]);
			if (oldNames[next]?.name.equals(name) === true) next += 1;
			const before = old?.lookup(name);
			this.#context.checkAborted();
			const { fd } = directories;
			const stat = linux.tryFstatat(fd, name);
			// Undefined: gone since it was listed, from a layer that is in use.
			if (stat !== undefined && this.#marks?.isWhiteout(marks, fd, name, stat) !== true) {
				yield* this.#present({ directoryFd: fd, name, stat }, before, { ...visit, complete });
			} else if (before !== undefined) {
				this.#deleted(record, before);
			}
		}
		for (; next < oldNames.length; next++) this.#deleted(record, oldNames[next]);
	}

	/** A name that the subject has. */
	*#present(current: Located, before: MergedEntry | undefined, visit: Visit): Walk {
		const { name, stat } = current;
		const path = visit.record.path.childInLayer(name);
		this.#marks?.refuseMetacopy(current.directoryFd, name, stat, () => String(path));
		const record: ChangeRecord = { path, parent: visit.record, kind: undefined, inTar: false };
		const index = this.#records.push(record);
		if (before === undefined) this.#mark(record, "A");
		else if (!this.#comparer.same(current, before)) this.#mark(record, "C");
		if (linux.isDirectory(stat)) {
			yield* this.#directory(current, before, { ...visit, record });
		} else if (this.#subject.form === "trees") {
			this.#links.add({
				current: stat,
				before: before?.stat,
				changed: record.kind !== undefined,
				item: record,
			});
		}
		// What turned out to say nothing, nor any path below it, is dropped at once.
		const silent = record.kind === undefined && !record.inTar && this.#records.length === index;
		if (silent && !this.#links.holds(record)) this.#records.pop();
	}

	*#directory(current: Located, before: MergedEntry | undefined, visit: Visit): Walk {
		const { record } = visit;
		const old = before !== undefined && linux.isDirectory(before.stat) ? before : undefined;
		if (old !== undefined && sameInode(current.stat, old.stat)) return;
		if (old !== undefined && old.stat.mtimeNs !== current.stat.mtimeNs) addToTar(record);
		const oldWalk = old === undefined ? undefined : visit.old;
		if (old !== undefined) oldWalk?.enter(old);
		this.#directories.enter(current.name);
		yield this.#visit({ old: oldWalk, record, complete: visit.complete });
		this.#directories.leave();
		oldWalk?.leave();
	}

	#deleted(parent: ChangeRecord, old: { readonly name: Buffer } | undefined): void {
		if (old === undefined) return;
		const path = parent.path.childInLayer(old.name);
		const record: ChangeRecord = { path, parent, kind: undefined, inTar: false };
		this.#records.push(record);
		this.#mark(record, "D");
	}

	/** Lists a record, and the directories above it as changed. */
	#mark(record: ChangeRecord, kind: Change["kind"]): void {
		record.kind = kind;
		addToTar(record);
		for (let above = record.parent; above?.parent !== undefined; above = above.parent) {
			if (above.kind !== undefined) break;
			above.kind = "C";
		}
	}

	#sameDirectory(fd: number, oldFd: number): boolean {
		const current: Located = { directoryFd: fd, name: ROOT_NAME, stat: linux.fstat(fd) };
		const old: Located = { directoryFd: oldFd, name: ROOT_NAME, stat: linux.fstat(oldFd) };
		return current.stat.mtimeNs === old.stat.mtimeNs && this.#comparer.same(current, old);
	}
}

function openOld(subject: TreeSubject): MergedWalk {
	if (subject.form === "upper") {
		return new MergedWalk(subject.lowers, { xattrPrefix: subject.xattrPrefix });
	}
	return new MergedWalk(subject.from === undefined ? [] : [subject.from], { plain: true });
}

/** A layer tar holds a path together with the directories above it, but the root only where it changed itself. */
function addToTar(record: ChangeRecord): void {
	record.inTar = true;
	for (let above = record.parent; above?.parent !== undefined && !above.inTar; above = above.parent) {
		above.inTar = true;
	}
}

function precedes(old: MergedName | undefined, name: Buffer): boolean {
	return old !== undefined && Buffer.compare(old.name, name) < 0;
}
