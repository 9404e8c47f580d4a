/**
 * The vfs driver, for filesystems on which overlayfs cannot work: every layer is a whole tree in `root/`, copied
 * from its parent's (reflinked where the filesystem can). Nothing is mounted but views, which must be read-only.
 */

import { mkdirSync } from "node:fs";
import { LamellaError } from "../../errors/index.ts";
import type { ApplyTarget, DiffSubject } from "../../layer/index.ts";
import { mountBind } from "../bind.ts";
import type { Driver, LayerPlace, MountDescription, MountRequest, UnmountOptions } from "../driver.ts";
import { mountFailure } from "../failure.ts";
import { inheritTreeRoot, makeTreeRoot, mergedOf, rootOf } from "../place.ts";
import { isMountPoint, unmountTree } from "../unmount.ts";

/** Copies the tree `from` whole into the existing, empty directory `to`: the copy job of src/layer. */
export type CopyTree = (request: { readonly from: string; readonly to: string }) => Promise<unknown>;

export class VfsDriver implements Driver {
	readonly name = "vfs";
	readonly flattens = false;
	readonly #copyTree: CopyTree;
	readonly #status: readonly (readonly [string, string])[];

	constructor(copyTree: CopyTree, status: readonly (readonly [string, string])[]) {
		this.#copyTree = copyTree;
		this.#status = status;
	}

	status(): readonly (readonly [string, string])[] {
		return this.#status;
	}

	async prepare(staged: string, chain: readonly LayerPlace[]): Promise<void> {
		const root = rootOf({ directory: staged, flattened: true });
		makeTreeRoot(root);
		const [parent] = chain;
		if (parent === undefined) return;
		await this.#copyTree({ from: rootOf(parent), to: root });
		inheritTreeRoot(root, rootOf(parent));
	}

	async prepareApply(staged: string, chain: readonly LayerPlace[]): Promise<ApplyTarget> {
		await this.prepare(staged, chain);
		return {
			form: "plain",
			directory: rootOf({ directory: staged, flattened: true }),
			lowers: [],
			xattrPrefix: "trusted.overlay.",
			shareInodes: false,
		};
	}

	describeMount({ layer, kind }: MountRequest): MountDescription {
		return { type: "bind", source: rootOf(layer), options: [kind === "active" ? "rw" : "ro", "rbind"] };
	}

	mount({ layer, kind, mountLabel }: MountRequest): string {
		if (mountLabel !== undefined && mountLabel !== "") {
			throw new LamellaError(
				"ENOTSUPPORTED",
				`the vfs driver mounts nothing that could carry the mount label ${mountLabel}; leave it out`,
			);
		}
		if (kind === "active") return rootOf(layer);
		const merged = mergedOf(layer);
		if (isMountPoint(merged)) return merged;
		try {
			mkdirSync(merged, { recursive: true, mode: 0o700 });
			mountBind(rootOf(layer), merged, true);
		} catch (error) {
			throw mountFailure(error, merged);
		}
		return merged;
	}

	unmount(layer: LayerPlace, options: UnmountOptions = {}): void {
		unmountTree(mergedOf(layer), options);
	}

	isMounted(layer: LayerPlace): boolean {
		return isMountPoint(mergedOf(layer));
	}

	diffSubject(layer: LayerPlace, chain: readonly LayerPlace[]): DiffSubject {
		const [parent] = chain;
		return { form: "trees", from: parent === undefined ? undefined : rootOf(parent), to: rootOf(layer) };
	}

	ownDirectories(layer: LayerPlace): readonly string[] {
		return [rootOf(layer)];
	}

	finishCommit(layer: LayerPlace): void {
		// Seen by somebody already: unmounting takes merged/ away.
		if (isMountPoint(mergedOf(layer))) return;
		unmountTree(mergedOf(layer));
	}
}
