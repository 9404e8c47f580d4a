/**
 * The tree that a layer tar is being applied to, as far as it has been visited: directories by their real paths,
 * found through the merged view of target and lowers, made where they are missing, and kept open for the entries
 * that follow.
 *
 * Names are latin1 text (entry-path.ts). Every directory is opened relative to a descriptor, by openat2 without
 * symbolic links below the target's root or by one name with O_NOFOLLOW in an open parent. Symbolic links, whoever
 * made them, are followed here in the merged view and never by the kernel; `..` and absolute targets stop at the root.
 */
import * as linux from "../../linux/index.ts";
import type { TreeTarget } from "../contract.ts";
import { type MergedEntry, MergedView } from "../overlay/merged-view.ts";
import { isWhiteoutDevice } from "../overlay/overlay-marks.ts";
import { WHITEOUT_PREFIX } from "../overlay/whiteout.ts";
import { removeEntry } from "../tree/remove.ts";
import { PATH_BYTES_MAX, pathTooLong } from "../tree/tree-path.ts";
import { CALL_PATH_BYTES, runWalk, type Walk } from "../tree/walk.ts";
import { latin1, NAME_BYTES_MAX, nameTooLong, toBytes } from "./entry-path.ts";
import { belowFile, SYMLINKS_MAX, tooManySymlinks, whiteoutDirectory } from "./refusals.ts";
import { Directory, OpenDirectories } from "./target-directory.ts";

const DEFAULT_ACL = "system.posix_acl_default";

export class TargetTree implements Disposable {
	readonly root: Directory;
	readonly overlay: boolean;
	/** The target was empty, so that whatever is in it is this layer's. */
	readonly startedEmpty: boolean;
	/** Something was removed or replaced, so that counting what was made does not give the usage. */
	replaced = false;

	readonly #target: TreeTarget;
	readonly #awaitLowers: () => void;
	readonly #view: MergedView;
	readonly #open: OpenDirectories;
	/** Parent paths as tar entries spell them. */
	readonly #resolved = new Map<string, Directory>();
	/** Symbolic links that #resolved's answers went through. */
	readonly #followed = new Set<string>();
	#lastPath = "";
	#last: Directory;

	/** `awaitLowers` is called before each look into a lower: they may be being written by another thread. */
	constructor(target: TreeTarget, awaitLowers: () => void) {
		this.#target = target;
		this.#awaitLowers = awaitLowers;
		this.overlay = target.form === "overlay";
		this.#view = new MergedView(this.overlay ? target.lowers : [], { xattrPrefix: target.xattrPrefix });
		this.root = new Directory(undefined, "");
		this.root.present = true;
		this.#last = this.root;
		// The target's own path is the store's and may go through symbolic links.
		const rootFd = linux.openat(linux.AT_FDCWD, target.directory, linux.O_RDONLY | linux.O_DIRECTORY);
		this.#open = new OpenDirectories(this.root, rootFd);
		try {
			this.startedEmpty = linux.readDirectory(rootFd).length === 0;
			this.root.implied = this.startedEmpty;
			this.#observe(this.root, linux.fstat(rootFd));
		} catch (error) {
			this.close();
			throw error;
		}
	}

	/** The directory at a cleaned path, through symbolic links; it need not be present in the target. */
	resolve(path: string): Directory {
		if (path === this.#lastPath) return this.#last;
		// Longer ones are not remembered: walking to them costs no more than reading them did.
		const isShort = path.length < CALL_PATH_BYTES;
		let directory = isShort ? this.#resolved.get(path) : undefined;
		if (directory === undefined) {
			// Most go on from the directory before.
			const isBelow =
				this.#lastPath !== "" && path.startsWith(this.#lastPath) && path[this.#lastPath.length] === "/";
			directory = isBelow
				? this.#walk(path.slice(this.#lastPath.length), this.#last)
				: this.#walk(path, this.root);
			if (isShort) this.#resolved.set(path, directory);
		}
		this.#lastPath = path;
		this.#last = directory;
		return directory;
	}

	/** What `name` is in the target itself; undefined where it has nothing, or a whiteout. */
	lookup(directory: Directory, name: string): linux.Stat | undefined {
		if (!directory.present) return undefined;
		const stat = linux.tryFstatat(this.fd(directory), toBytes(name));
		return stat === undefined || this.isWhiteout(stat) ? undefined : stat;
	}

	/** What `name` is in the lowers, as far as they show through what the layer has said until now. */
	lookupLower(directory: Directory, name: string): MergedEntry | undefined {
		if (!this.showsLowers(directory) || directory.whiteouts?.has(name) === true) return undefined;
		// Whatever the target has, a whiteout too, is nearer.
		if (directory.present && linux.tryFstatat(this.fd(directory), toBytes(name)) !== undefined)
			return undefined;
		this.#awaitLowers();
		return this.#view.lookup([...directory.components(), Buffer.from(name, "latin1")]);
	}

	/** The directory of the lowers that overlayfs merges with this one, or that it takes its metadata from. */
	lowerOf(directory: Directory): MergedEntry | undefined {
		const { parent } = directory;
		if (directory.fresh || !(parent === undefined ? this.#hasLowers() : this.showsLowers(parent)))
			return undefined;
		this.#awaitLowers();
		const entry = this.#view.lookup(directory.components());
		return entry !== undefined && linux.isDirectory(entry.stat) ? entry : undefined;
	}

	/** The names that the lowers have at the top. */
	lowerRootNames(): readonly Buffer[] {
		if (!this.#hasLowers()) return [];
		this.#awaitLowers();
		return (this.#view.readDirectory([]) ?? []).map(({ name }) => name);
	}

	/** Whether what lowers have in a directory may show. */
	showsLowers(directory: Directory): boolean {
		return this.#hasLowers() && !this.isHidden(directory);
	}

	/** Makes the directory, and those above it, in the target where they are not there yet. */
	makePresent(directory: Directory): void {
		const missing: Directory[] = [];
		for (let at = directory; !at.present && at.parent !== undefined; at = at.parent) missing.push(at);
		for (const { parent, name } of missing.reverse()) {
			if (parent !== undefined) this.makeDirectory(parent, name, 0o755, "implied");
		}
	}

	/**
	 * Makes the directory `name`, or finds it. What else stands there is replaced; where it stands there for an
	 * entry of this same layer, only by an entry for the directory itself (`explicit`).
	 * @throws {LamellaError} `ETAR` for an entry below a file.
	 */
	makeDirectory(
		parent: Directory,
		name: string,
		mode: number,
		how: "explicit" | "implied",
	): { readonly directory: Directory; readonly created: boolean } {
		if (how === "explicit") this.#markOurs(parent, name);
		let directory = parent.children.get(name);
		if (directory?.present === true) return { directory, created: false };
		this.#dropFollowed(parent, name);
		if (!this.#tryMkdir(parent, name, mode)) {
			const stat = linux.fstatat(this.fd(parent), toBytes(name));
			if (linux.isDirectory(stat)) {
				return { directory: this.discover(parent, name, stat), created: false };
			}
			if (how === "implied" && !this.isWhiteout(stat) && this.isOurs(parent, name)) {
				throw belowFile(parent.pathOf(name));
			}
			this.clear(parent, name);
			linux.mkdirat(this.fd(parent), toBytes(name), mode);
			// The identity of a directory that others hold must not change.
			if (directory !== undefined) parent.children.set(name, directory);
			directory ??= this.#adopt(parent, name);
			directory.fresh = true;
		}
		directory ??= this.#adopt(parent, name);
		directory.present = true;
		directory.implied = how === "implied";
		// They are handed down on making.
		directory.setgid = parent.setgid;
		directory.hasDefaultAcl = parent.hasDefaultAcl;
		if (how === "implied") this.#markOurs(parent, name);
		return { directory, created: true };
	}

	/** Takes note of a directory that the target has already. */
	discover(parent: Directory, name: string, stat: linux.Stat): Directory {
		const directory = parent.children.get(name) ?? this.#adopt(parent, name);
		if (directory.present) return directory;
		directory.present = true;
		this.#observe(directory, stat);
		return directory;
	}

	/** Before a non-directory is made at `name`: nothing may be remembered of a directory there. */
	prepareLeaf(directory: Directory, name: string): void {
		if (directory.children.has(name)) this.#forget(directory, name);
		this.#dropFollowed(directory, name);
		this.#markOurs(directory, name);
	}

	/** Removes what stands at `name`, with all below it, and what is remembered of it. Never follows a link. */
	clear(directory: Directory, name: string): void {
		this.#forget(directory, name);
		this.replaced = true;
		removeEntry(this.fd(directory), toBytes(name));
	}

	/** Removes what was at `name` before this layer, and keeps what this layer put there or below it. */
	clearOlder(directory: Directory, name: string): void {
		if (!this.startedEmpty) runWalk(this.#clearOlder(directory, name));
	}

	/** As clearOlder, for everything in a directory. */
	clearOlderBelow(directory: Directory): void {
		if (!this.startedEmpty) runWalk(this.#clearOlderBelow(directory));
	}

	*#clearOlder(directory: Directory, name: string): Walk {
		if (!directory.present) return;
		const stat = linux.tryFstatat(this.fd(directory), toBytes(name));
		if (stat === undefined) return;
		const child = directory.children.get(name);
		if (!this.isOurs(directory, name) && !(child !== undefined && hasOurs(child))) {
			this.clear(directory, name);
		} else if (linux.isDirectory(stat)) {
			yield this.#clearOlderBelow(this.discover(directory, name, stat));
		}
	}

	*#clearOlderBelow(directory: Directory): Walk {
		if (!directory.present) return;
		for (const entry of linux.readDirectory(this.fd(directory)))
			yield* this.#clearOlder(directory, latin1(entry.name));
	}

	/**
	 * From here on, nothing that was at `name` before this layer shows, and what this layer has there stays. In overlay
	 * form the mark for it is made at the end.
	 */
	whiteOut(directory: Directory, name: string): void {
		this.clearOlder(directory, name);
		if (!this.overlay) return;
		directory.whiteouts ??= new Set();
		directory.whiteouts.add(name);
		this.#dropFollowed(directory, name);
		const child = directory.children.get(name);
		if (child?.present === true) {
			child.fresh = true;
			// Paths may have led through a lower's symbolic link in it.
			this.#forgetResolved();
		}
		// What this layer has there as a file or symbolic link stays what it is.
		else if (this.lookup(directory, name) === undefined) {
			if (child !== undefined) this.#forget(directory, name);
			this.#adopt(directory, name).fresh = true;
		}
	}

	/** As whiteOut, for everything in a directory. */
	makeOpaque(directory: Directory): void {
		this.clearOlderBelow(directory);
		if (!this.overlay) return;
		directory.opaque = true;
		this.#forgetResolved();
		// Paths that led only through lowers lead nowhere any more.
		for (const [name, child] of directory.children) if (!child.present) this.#forget(directory, name);
	}

	/** Whether an entry of this layer hides all that any lower may have in a directory. */
	isHidden(directory: Directory): boolean {
		for (let at: Directory | undefined = directory; at !== undefined; at = at.parent) {
			if (at.fresh || at.opaque) return true;
		}
		return false;
	}

	isOurs(directory: Directory, name: string): boolean {
		return this.startedEmpty || directory.ours?.has(name) === true;
	}

	isWhiteout(stat: linux.Stat): boolean {
		return this.overlay && isWhiteoutDevice(stat);
	}

	/** An open descriptor of a directory that is present; good until some dozens of others were asked for. */
	fd(directory: Directory): number {
		return this.#open.fd(directory);
	}

	close(): void {
		this.#view.close();
		this.#open.closeAll();
	}

	[Symbol.dispose](): void {
		this.close();
	}

	#walk(path: string, from: Directory): Directory {
		let current = from;
		let links = 0;
		const pending = path.split("/").reverse();
		for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
			if (name === "" || name === ".") continue;
			if (name === "..") {
				current = current.parent ?? this.root;
				continue;
			}
			const next = this.#step(current, name);
			if (typeof next !== "string") {
				current = next;
				continue;
			}
			links += 1;
			if (links > SYMLINKS_MAX) {
				throw tooManySymlinks(path);
			}
			this.#followed.add(current.pathOf(name));
			if (next.startsWith("/")) current = this.root;
			pending.push(...next.split("/").reverse());
		}
		return current;
	}

	/** The directory `name`, or the target of the symbolic link that it is. */
	#step(current: Directory, name: string): Directory | string {
		const known = current.children.get(name);
		if (known !== undefined) return known;
		if (name.startsWith(WHITEOUT_PREFIX)) {
			throw whiteoutDirectory(current.pathOf(name));
		}
		// Names and paths of symbolic links can be longer than an entry's own.
		if (name.length > NAME_BYTES_MAX) throw nameTooLong(name);
		if (current.path.length + name.length + 1 > PATH_BYTES_MAX) {
			throw pathTooLong(Buffer.from(current.pathOf(name), "latin1"));
		}
		if (current.present) {
			const stat = linux.tryFstatat(this.fd(current), toBytes(name));
			if (stat !== undefined && linux.isDirectory(stat)) return this.discover(current, name, stat);
			if (stat !== undefined && linux.isSymlink(stat))
				return latin1(linux.readlinkat(this.fd(current), toBytes(name)));
			if (stat !== undefined) {
				const directory = this.#adopt(current, name);
				directory.fresh = true;
				return directory;
			}
		}
		const lower = this.lookupLower(current, name);
		if (lower !== undefined && linux.isSymlink(lower.stat))
			return latin1(linux.readlinkat(lower.directoryFd, lower.name));
		return this.#adopt(current, name);
	}

	#observe(directory: Directory, stat: linux.Stat): void {
		directory.setgid = (stat.mode & linux.S_ISGID) !== 0;
		if (!directory.implied) {
			// Its content may change, but not its times, which no entry has stated.
			directory.atimeNs = stat.atimeNs;
			directory.mtimeNs = stat.mtimeNs;
		}
		const fd = this.fd(directory);
		for (const name of linux.flistxattr(fd)) {
			const text = latin1(name);
			if (text === DEFAULT_ACL) directory.hasDefaultAcl = true;
			if (this.overlay && text === `${this.#target.xattrPrefix}opaque` && directory !== this.root) {
				directory.opaque = linux.fgetxattr(fd, name)?.toString("latin1") === "y";
			}
		}
	}

	#adopt(parent: Directory, name: string): Directory {
		const directory = new Directory(parent, name);
		parent.children.set(name, directory);
		return directory;
	}

	#tryMkdir(parent: Directory, name: string, mode: number): boolean {
		try {
			linux.mkdirat(this.fd(parent), toBytes(name), mode);
			return true;
		} catch (error) {
			if (linux.isSystemError(error, "EEXIST")) return false;
			throw error;
		}
	}

	#hasLowers(): boolean {
		return this.overlay && this.#view.lowers.length > 0;
	}

	#markOurs(directory: Directory, name: string): void {
		if (this.startedEmpty) return;
		directory.ours ??= new Set();
		directory.ours.add(name);
	}

	/** Drops what is remembered of `name` and below. */
	#forget(directory: Directory, name: string): void {
		const child = directory.children.get(name);
		directory.children.delete(name);
		this.#forgetResolved();
		const pending = child === undefined ? [] : [child];
		for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
			this.#open.close(next);
			pending.push(...next.children.values());
		}
	}

	/** A name that answers of `resolve` went through as a symbolic link becomes something else. */
	#dropFollowed(directory: Directory, name: string): void {
		if (this.#followed.size > 0 && this.#followed.has(directory.pathOf(name))) this.#forgetResolved();
	}

	#forgetResolved(): void {
		this.#resolved.clear();
		this.#followed.clear();
		this.#lastPath = "";
		this.#last = this.root;
	}
}

/** Whether this layer put anything in the directory or below it. */
function hasOurs(directory: Directory): boolean {
	const pending = [directory];
	for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
		if (next.ours !== undefined && next.ours.size > 0) return true;
		pending.push(...next.children.values());
	}
	return false;
}
