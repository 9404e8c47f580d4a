/**
 * Sealing the mount of a writable layer: overlayfs's superblock becomes read-only, for every mount of it in every namespace.
 * The kernel refuses that while anything is open for writing in any of them, and flushes the upper's filesystem with it.
 *
 * Which layer's directory a mount shows is in its source (`overlay-<n>`): paths in its options may be shortened.
 */
import path from "node:path";
import { escapePath, LamellaError } from "../../errors/index.ts";
import type { RunOptions } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import type { LayerJobRunner, LayerPlace, MountRequest, Sealing } from "../driver.ts";
import { mountFailure } from "../failure.ts";
import { diffOf, inheritTreeRoot } from "../place.ts";
import { writersIn } from "../unmount.ts";

/** What mountinfo shows as the source of a writable layer's mount. */
export function writableSource(layer: LayerPlace): string {
	return `overlay-${path.basename(layer.directory)}`;
}

export class OverlaySealing implements Sealing {
	readonly #jobs: LayerJobRunner;
	readonly swap: (request: MountRequest) => Promise<void>;

	constructor(jobs: LayerJobRunner, swap: (request: MountRequest) => Promise<void>) {
		this.#jobs = jobs;
		this.swap = swap;
	}

	async freeze(
		layer: LayerPlace,
		next: string,
		also: readonly string[],
		options?: RunOptions,
	): Promise<void> {
		const isMounted = mustBeSealable(layer);
		const [from, to] = [diffOf(layer), diffOf({ directory: next })];
		if (!isMounted) {
			inheritTreeRoot(to, from);
			await this.#jobs.run("flush", { trees: [from, to], paths: also }, options);
			return;
		}
		try {
			// It flushes everything on the filesystem.
			await this.#jobs.run("remount", { target: layer.mountPoint }, options);
		} catch (error) {
			if (linux.isSystemError(error, "EBUSY")) throw openForWriting(layer, error);
			throw mountFailure(error, layer.mountPoint);
		}
		const before = linux.fstatat(linux.AT_FDCWD, to);
		inheritTreeRoot(to, from);
		const after = linux.fstatat(linux.AT_FDCWD, to);
		if (before.mode === after.mode && before.uid === after.uid && before.gid === after.gid) return;
		await this.#jobs.run("flush", { trees: [], paths: [to] }, options);
	}

	thaw(layer: LayerPlace): void {
		try {
			linux.mount(null, layer.mountPoint, null, linux.MS_REMOUNT);
		} catch (error) {
			throw mountFailure(error, layer.mountPoint);
		}
	}

	async settle(request: MountRequest): Promise<void> {
		const { layer } = request;
		const stack = stackAt(linux.readMountInfo(), layer);
		const place = stack.findIndex((mount) => isOf(mount, layer));
		if (place === 0) this.thaw(layer);
		else if (place === -1 && stack.length > 0) await this.swap(request);
		else {
			// The new one is beneath already.
			for (let left = place; left > 0; left--) {
				linux.umount2(layer.mountPoint, linux.UMOUNT_NOFOLLOW | linux.MNT_DETACH);
			}
		}
	}
}

/** The mounts at the path of a layer, the visible one first. */
function stackAt(mounts: readonly linux.MountInfo[], layer: LayerPlace): linux.MountInfo[] {
	const at = Buffer.from(layer.mountPoint);
	const here = mounts.filter(({ mountPoint }) => mountPoint.equals(at));
	const stack: linux.MountInfo[] = [];
	// One that was put beneath another is later in the list, but the parent of the other.
	let top = here.find(({ id }) => !here.some(({ parentId }) => parentId === id));
	while (top !== undefined) {
		const { parentId } = top;
		stack.push(top);
		top = here.find(({ id }) => id === parentId);
	}
	return stack;
}

function isOf(mount: linux.MountInfo | undefined, layer: LayerPlace): boolean {
	return mount?.source.toString() === writableSource(layer);
}

/** Whether the layer is mounted, by us and so that it can be sealed. @throws {LamellaError} `EBUSY`, `ENOTSUPPORTED` */
function mustBeSealable(layer: LayerPlace): boolean {
	const mounts = linux.readMountInfo();
	const [mounted] = stackAt(mounts, layer);
	const shown = escapePath(Buffer.from(layer.mountPoint));
	if (mounted !== undefined && !isOf(mounted, layer)) {
		throw new LamellaError(
			"ENOTSUPPORTED",
			`the mount at ${shown} cannot be sealed; unmount the layer and mount it again`,
			{ path: shown },
		);
	}
	const upper = `upperdir=${diffOf(layer)}`;
	const below = Buffer.from(`${layer.mountPoint}/`);
	for (const { mountPoint, majorMinor, superOptions } of mounts) {
		const isInside = mountPoint.subarray(0, below.length).equals(below);
		const isOthers = majorMinor !== mounted?.majorMinor && superOptions.split(",").includes(upper);
		if (!isInside && !isOthers) continue;
		const what = escapePath(mountPoint);
		const why = isInside ? "something is mounted inside the layer" : "somebody else has mounted the layer";
		throw new LamellaError("EBUSY", `${why}, at ${what}; unmount that first`, { path: what });
	}
	return mounted !== undefined;
}

function openForWriting(layer: LayerPlace, cause: unknown): LamellaError {
	const shown = escapePath(Buffer.from(layer.mountPoint));
	const writers = writersIn(layer.mountPoint);
	const who = writers.length > 0 ? writers.join(", ") : "somebody in another mount namespace";
	return new LamellaError(
		"EBUSY",
		`files are open for writing in ${shown}: by ${who}; end or pause that so that it closes them, or take a live checkpoint`,
		{ path: shown, cause },
	);
}
