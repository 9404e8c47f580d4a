/**
 * Owns the images of packed chains: one read-only EROFS filesystem for a packed layer and all below it, made when it is
 * first needed, mounted once for all that stand on it, and unmounted when the last of them is gone.
 *
 *     root.erofs   names, attributes, and where in which tar each file's content is; can be made again
 *     image/       where it is mounted
 *     users/       a name for each mount that stands on it
 */
import { mkdirSync, readdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { rename } from "node:fs/promises";
import path from "node:path";
import { LamellaError } from "../../errors/index.ts";
import type { RunOptions } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import type { LayerJobRunner, LayerPlace } from "../driver.ts";
import { mountFailure } from "../failure.ts";
import { isPacked } from "../form.ts";
import { imageMountOf, imageOf, tarOf, usersOf } from "../place.ts";
import { isMountPoint } from "../unmount.ts";
import { lookAtDevices, openDevices, type PackedChain } from "./devices.ts";
import { makeDetachedErofs } from "./mount-erofs.ts";

export interface ChainImagesOptions {
	readonly jobs: LayerJobRunner;
	/** A directory on the filesystem of the layers, that others sweep. Without one no image is made. */
	readonly scratch: string | undefined;
}

/** An image that stays readable at `path` until this is disposed. */
export interface HeldImage extends AsyncDisposable {
	readonly path: string;
}

/** The packed layers at the bottom of a chain; undefined where there are none. */
export function packedChainOf(chain: readonly LayerPlace[]): PackedChain | undefined {
	const first = chain.findIndex(({ form }) => isPacked(form));
	const [top, ...below] = first === -1 ? [] : chain.slice(first);
	return top === undefined ? undefined : [top, ...below];
}

let scratchNames = 0;

export class ChainImages {
	readonly #options: ChainImagesOptions;
	readonly #locks = new linux.PathLocks();

	constructor(options: ChainImagesOptions) {
		this.#options = options;
	}

	/** Mounts the image where it is not mounted yet, for `user` to stand on. Returns where. */
	async attach(chain: PackedChain, user: string): Promise<string> {
		const [top] = chain;
		const target = imageMountOf(top);
		await this.#locks.with(tarOf(top), async () => {
			mkdirSync(usersOf(top), { recursive: true, mode: 0o700 });
			await this.#make(chain);
			if (isMountPoint(target)) {
				// Nobody is to stand on data that was changed.
				lookAtDevices(chain);
			} else {
				using devices = openDevices(chain);
				mkdirSync(target, { recursive: true, mode: 0o700 });
				const detached = mountDetached(top, devices.fds);
				try {
					linux.moveMount(detached, "", linux.AT_FDCWD, target, linux.MOVE_MOUNT_F_EMPTY_PATH);
				} finally {
					linux.close(detached);
				}
			}
			writeFileSync(path.join(usersOf(top), userName(user)), "", { mode: 0o600 });
		});
		return target;
	}

	/** `users` no longer stand on the image. Where nobody in this mount namespace does, it is unmounted. */
	async release(top: Pick<LayerPlace, "directory">, users: readonly string[]): Promise<void> {
		// Not worth a lock where nobody stands on it; and somebody else may have been the last meanwhile.
		if (!isThere(usersOf(top))) return;
		await this.#locks.with(tarOf(top), async () => {
			if (!isThere(usersOf(top))) return;
			for (const user of users) rmSync(path.join(usersOf(top), userName(user)), { force: true });
			const others = readdirSync(usersOf(top));
			if (others.some((name) => name.endsWith(inThisNamespace()))) return;
			unmountImage(top.directory);
			// In another mount namespace it may be mounted still, and would go from there with its directory.
			if (others.length > 0) return;
			for (const directory of [imageMountOf(top), usersOf(top)].filter(isThere)) rmdirSync(directory);
		});
	}

	/** Opens the image below a chain for reading, without leaving it mounted where it was not. */
	async holdBelow(all: readonly LayerPlace[]): Promise<HeldImage | undefined> {
		const chain = packedChainOf(all);
		if (chain === undefined) return undefined;
		const [top] = chain;
		const fd = await this.#locks.with(tarOf(top), async () => {
			const target = imageMountOf(top);
			if (isMountPoint(target)) {
				return linux.openat(linux.AT_FDCWD, target, linux.O_PATH | linux.O_DIRECTORY);
			}
			await this.#make(chain);
			using devices = openDevices(chain);
			return mountDetached(top, devices.fds);
		});
		return {
			// With a dot behind it, or who opens it without following links would find a link.
			path: `/proc/self/fd/${fd}/.`,
			[Symbol.asyncDispose]: () => Promise.resolve(linux.close(fd)),
		};
	}

	/** Makes the image of a chain whose top is still staged. */
	async prime(chain: PackedChain, options?: RunOptions): Promise<void> {
		await this.#options.jobs.run("image", requestOf(chain, imageOf(chain[0])), options);
	}

	async #make(chain: PackedChain): Promise<void> {
		const [top] = chain;
		if (isThere(imageOf(top))) return;
		const { scratch, jobs } = this.#options;
		if (scratch === undefined) {
			throw new LamellaError(
				"EINVALID",
				`the image of ${top.directory} is not made yet, and the store is open for reading only; open it without readOnly`,
				{ path: imageOf(top) },
			);
		}
		const staged = path.join(scratch, `image-${scratchNames++}`);
		await jobs.run("image", requestOf(chain, staged));
		await rename(staged, imageOf(top));
	}
}

function mountDetached(top: LayerPlace, deviceFds: readonly number[]): number {
	try {
		return makeDetachedErofs(imageOf(top), deviceFds);
	} catch (error) {
		if (!linux.isSystemError(error, "ENOTBLK", "ENODEV")) throw mountFailure(error, imageOf(top));
		throw new LamellaError(
			"ENOTSUPPORTED",
			`packed layers cannot be mounted here (${error.message}); they need Linux 6.12 with EROFS that can be mounted from files. Move the store there, or remove them and import them again with the overlay driver`,
			{ path: imageOf(top), cause: error },
		);
	}
}

function requestOf(chain: PackedChain, target: string): { layers: readonly string[]; target: string } {
	return { layers: chain.map(({ directory }) => directory), target };
}

/** Unmounts the image of the layer in `directory`, if it is mounted. Overlays that stand on it keep it to themselves. */
export function unmountImage(directory: string): void {
	const target = imageMountOf({ directory });
	if (!isThere(target)) return;
	// Mounts may lie on top of one another. The bound is for somebody who mounts in a loop.
	for (let round = 0; round < 100 && isMountPoint(target); round++) {
		linux.umount2(target, linux.UMOUNT_NOFOLLOW | linux.MNT_DETACH);
	}
}

/** Unmounts and deletes the layer's image, which is no longer what the layer and those below it give. */
export function forgetImage(layer: Pick<LayerPlace, "directory">): void {
	unmountImage(layer.directory);
	rmSync(imageOf(layer), { recursive: true, force: true });
}

/** Mounts are a thing of a mount namespace, so those that stand on one are, too. */
function userName(user: string): string {
	return `${user}${inThisNamespace()}`;
}

function inThisNamespace(): string {
	return `@${linux.mountNamespace()}`;
}

function isThere(file: string): boolean {
	return linux.tryFstatat(linux.AT_FDCWD, file) !== undefined;
}
