/**
 * Owns the names inside a layer's directory and the walk down a chain:
 *
 *     diff/    what the layer changed (overlay)     root/    the whole tree (overlay: where flattened; vfs: always)
 *     work/    overlayfs's own, while active        fold/    diff/ and those of some trees below it in one
 *     empty/   nothing: below a single directory that is mounted by overlayfs
 *
 * Of a packed layer: layer.tar, layer.index and layer.data (src/layer/packed), root.erofs, image/, users/
 * (packed/chain-image.ts).
 */
import { chmodSync, chownSync, statSync } from "node:fs";
import { chmod, mkdir } from "node:fs/promises";
import path from "node:path";
import { type IdMaps, toHost } from "../idmap/index.ts";
import * as linux from "../linux/index.ts";
import type { LayerPlace } from "./driver.ts";
import { foldedLayers, PACKED, TREE_WITH_ROOT } from "./form.ts";

type Directory = Pick<LayerPlace, "directory">;
export const diffOf = (layer: Directory): string => path.join(layer.directory, "diff");
export const rootOf = (layer: Directory): string => path.join(layer.directory, "root");
export const foldOf = (layer: Directory): string => path.join(layer.directory, "fold");
export const workOf = (layer: Directory): string => path.join(layer.directory, "work");
export const emptyOf = (layer: Directory): string => path.join(layer.directory, "empty");
export const tarOf = (layer: Directory): string => path.join(layer.directory, "layer.tar");
export const indexOf = (layer: Directory): string => path.join(layer.directory, "layer.index");
export const dataOf = (layer: Directory): string => path.join(layer.directory, "layer.data");
export const imageOf = (layer: Directory): string => path.join(layer.directory, "root.erofs");
export const imageMountOf = (layer: Directory): string => path.join(layer.directory, "image");
export const usersOf = (layer: Directory): string => path.join(layer.directory, "users");

/**
 * Trees to merge for `chain` (nearest first), top first: `diff/` of each down to the first whole tree, a `root/` or an image
 * (at `imageAt` or where it is mounted), or to the bottom. After a layer with a `fold/` comes the one that the fold stands on.
 */
export function lowersOf(chain: readonly LayerPlace[], imageAt?: string): string[] {
	const lowers: string[] = [];
	for (const layer of chain) {
		if (layer.form === PACKED) {
			lowers.push(imageAt ?? imageMountOf(layer));
			break;
		}
		if (layer.form === TREE_WITH_ROOT) {
			lowers.push(rootOf(layer));
			break;
		}
		lowers.push(foldedLayers(layer.form) === undefined ? diffOf(layer) : foldOf(layer));
	}
	return lowers;
}

/** Trees that show `layer` over `chain`, top first. A fold of its own is no help: the chain begins with the parent. */
export function lowersFrom(layer: LayerPlace, chain: readonly LayerPlace[], imageAt?: string): string[] {
	if (foldedLayers(layer.form) !== undefined) return [diffOf(layer), ...lowersOf(chain, imageAt)];
	return lowersOf([layer, ...chain], imageAt);
}

/** Makes a tree's root directory: root's own, 0755 whatever the umask. Not on this thread: a full journal may make it wait. */
export async function makeTreeRoot(directory: string): Promise<void> {
	await mkdir(directory);
	await chmod(directory, 0o755);
}

// overlayfs's own xattrs are about the lower directory only, and an SELinux label is the host's.
const NOT_INHERITED = /^(trusted\.overlay\.|user\.overlay\.|security\.selinux$)/;

/**
 * Gives `directory` the owner, mode, xattrs and times of `from`: a merged tree shows the root directory of the uppermost
 * layer. Call it when the directory's content is complete. Does nothing where `from` does not exist yet.
 */
export function inheritTreeRoot(directory: string, from: string): void {
	const stat = linux.tryFstatat(linux.AT_FDCWD, from);
	if (stat === undefined) return;
	chownSync(directory, stat.uid, stat.gid);
	for (const name of linux.llistxattrAt(linux.AT_FDCWD, from)) {
		if (NOT_INHERITED.test(name.toString("latin1"))) continue;
		const value = linux.lgetxattrAt(linux.AT_FDCWD, from, name);
		if (value !== undefined) linux.lsetxattrAt(linux.AT_FDCWD, directory, name, value);
	}
	chmodSync(directory, stat.mode & 0o7777);
	linux.utimensat(linux.AT_FDCWD, directory, stat.atimeNs, stat.mtimeNs);
}

/** Gives a new layer's root directory to the owner that the ID maps make of its owner, as the container expects. */
export function mapTreeRoot(directory: string, idMaps: IdMaps | undefined): void {
	if (idMaps === undefined) return;
	const { uid, gid, mode } = statSync(directory);
	chownSync(directory, toHost(uid, idMaps.uids), toHost(gid, idMaps.gids));
	chmodSync(directory, mode & 0o7777);
}
