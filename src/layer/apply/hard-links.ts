/**
 * Hard links of a layer: to what the layer itself has, and to what only a lower has, which is then brought into the
 * layer first, by a link to the lower's inode or by a copy.
 *
 * A lower's inode is never changed: nothing that applies a layer opens an existing file or sets anything on one. The
 * metadata in a link's own header is not applied to anything, as in GNU tar.
 */
import * as linux from "../../linux/index.ts";
import { cloneFile, tryLink } from "../tree/clone-file.ts";
import { cleanEntryPath, toBytes } from "./entry-path.ts";
import { DanglingLink, linksBelowItself, linksToDirectory } from "./refusals.ts";
import type { Directory } from "./target-directory.ts";
import type { TargetTree } from "./target-tree.ts";

interface Place {
	readonly directory: Directory;
	readonly name: string;
}

export class HardLinks {
	/** Paths that were brought from a lower as the target of a link, and have no entry of their own. */
	readonly brought: Set<string> = new Set();
	/** A link made more than a name: it brought a file from a lower, or copied one that takes no more links. */
	madeFiles = false;

	readonly #tree: TargetTree;
	readonly #shareInodes: boolean;
	/** Path of a link target that has all the links it can take → the copy that takes further ones. */
	readonly #copies = new Map<string, Place>();

	constructor(tree: TargetTree, shareInodes: boolean) {
		this.#tree = tree;
		this.#shareInodes = shareInodes;
	}

	/**
	 * Makes `name` a hard link to the file at the tar path `target`.
	 * @throws {DanglingLink} where nothing is at the target
	 * @throws {LamellaError} `EUNSAFE` where the target leads out of the layer, `ETAR` where it is a directory, or lies
	 * below what the link replaces
	 */
	link(directory: Directory, name: string, target: Uint8Array): void {
		const path = cleanEntryPath(target);
		const slash = path.lastIndexOf("/");
		const from: Place = {
			directory: this.#tree.resolve(slash === -1 ? "" : path.slice(0, slash)),
			name: path.slice(slash + 1),
		};
		const stat = path === "" ? undefined : this.#find(from);
		if (stat === undefined) {
			throw new DanglingLink(directory.pathOf(name), path);
		}
		if (linux.isDirectory(stat)) {
			throw linksToDirectory(directory.pathOf(name), path);
		}
		if (from.directory === directory && from.name === name) {
			this.brought.delete(directory.pathOf(name));
			return;
		}
		if (
			from.directory.path === directory.pathOf(name) ||
			from.directory.path.startsWith(`${directory.pathOf(name)}/`)
		) {
			throw linksBelowItself(directory.pathOf(name), path);
		}
		this.#tree.makePresent(directory);
		this.#tree.prepareLeaf(directory, name);
		this.#place(this.#copies.get(from.directory.pathOf(from.name)) ?? from, { directory, name });
	}

	/** An entry takes the place of what was at `name`: links to that path are to the new file from here on. */
	replaced(directory: Directory, name: string): void {
		if (this.#copies.size === 0 && this.brought.size === 0) return;
		const path = directory.pathOf(name);
		this.#copies.delete(path);
		this.brought.delete(path);
	}

	/** What the target is; a file that only a lower has is in the layer afterwards. */
	#find(from: Place): linux.Stat | undefined {
		const own = this.#tree.lookup(from.directory, from.name);
		if (own !== undefined) return own;
		if (this.#tree.lookupLower(from.directory, from.name) === undefined) return undefined;
		// Making directories may move the view, so that the file is looked up once more.
		this.#tree.makePresent(from.directory);
		const lower = this.#tree.lookupLower(from.directory, from.name);
		if (lower === undefined || linux.isDirectory(lower.stat)) return lower?.stat;
		const directoryFd = this.#tree.fd(from.directory);
		const name = Buffer.from(from.name, "latin1");
		this.#tree.prepareLeaf(from.directory, from.name);
		if (!this.#shareInodes || !tryLink(lower.directoryFd, lower.name, directoryFd, name)) {
			cloneFile(lower, directoryFd, name);
		}
		this.madeFiles = true;
		this.brought.add(from.directory.pathOf(from.name));
		return lower.stat;
	}

	#place(from: Place, to: Place): void {
		const [fromName, toName] = [toBytes(from.name), toBytes(to.name)];
		const linked = (): boolean =>
			tryLink(this.#tree.fd(from.directory), fromName, this.#tree.fd(to.directory), toName);
		try {
			if (linked()) return;
		} catch (error) {
			if (!linux.isSystemError(error, "EEXIST")) throw error;
			this.#tree.clear(to.directory, to.name);
			this.replaced(to.directory, to.name);
			if (linked()) return;
		}
		const directoryFd = this.#tree.fd(from.directory);
		const name = Buffer.from(from.name, "latin1");
		const stat = linux.fstatat(directoryFd, name);
		cloneFile({ directoryFd, name, stat }, this.#tree.fd(to.directory), Buffer.from(to.name, "latin1"));
		this.madeFiles = true;
		this.#copies.set(from.directory.pathOf(from.name), to);
	}
}
