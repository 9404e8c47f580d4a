/**
 * The graph driver API: moby's `ProtoDriver` and `DiffDriver` (daemon/graphdriver/driver.go), in TypeScript.
 * The library's driver and the plugin protocol's client in test/support have this shape, and pass the suite
 * test/support/graphdriver-conformance.ts.
 */
import type { Readable } from "node:stream";
import type { Change } from "../layer/index.ts";

export interface CreateOptions {
	/** SELinux label for the layer's mounts. */
	readonly mountLabel?: string | undefined;
	/** dockerd's `--storage-opt` of one container. */
	readonly storageOpt?: Readonly<Record<string, string>> | undefined;
}

/** What every graph driver has. `parent` is `""` where there is none. */
export interface ProtoDriver {
	/** moby's `String`: the name of the driver. */
	name(): string;
	/** Pairs for `docker info`. */
	status(): Promise<readonly (readonly [string, string])[]>;
	/** Makes a layer that a diff will be applied to. @throws EEXISTS, ENOTFOUND (parent), EINVALID (id, option) */
	create(id: string, parent: string, options?: CreateOptions): Promise<void>;
	/** Makes a layer to write into. @throws EEXISTS, ENOTFOUND (parent), EINVALID (id, option) */
	createReadWrite(id: string, parent: string, options?: CreateOptions): Promise<void>;
	/** Removes a layer, and its mount where it still has one. Harmless where there is no such layer. @throws EREFERENCED */
	remove(id: string): Promise<void>;
	/** Mounts a layer, or counts one more holder; the same path each time. @throws ENOTFOUND */
	get(id: string, mountLabel?: string): Promise<string>;
	/** Gives one hold back; the last unmounts. Without a hold it only takes a stale mount away. */
	put(id: string): Promise<void>;
	exists(id: string): Promise<boolean>;
	/** Where the layer's files are, under moby's names: see metadata.ts. @throws ENOTFOUND */
	metadata(id: string): Promise<Readonly<Record<string, string>>>;
	/** Unmounts what this driver mounted. Data stays. */
	cleanup(): Promise<void>;
}

/** What a driver has that can compare layers. */
export interface DiffDriver {
	/** The changes between `parent` and `id` as a layer tar; `parent` `""`: the whole tree. @throws ENOTFOUND */
	diff(id: string, parent: string): Promise<Readable>;
	/** @throws ENOTFOUND */
	changes(id: string, parent: string): Promise<readonly Change[]>;
	/**
	 * Applies an uncompressed layer tar to a layer that was just created.
	 * @returns lengths of its files and of its symlinks' targets, each inode once, as moby's overlay2 counts them
	 */
	applyDiff(id: string, parent: string, diff: Readable): Promise<number>;
	/** What `applyDiff` would return for `diff(id, parent)`. */
	diffSize(id: string, parent: string): Promise<number>;
}

export interface GraphDriver extends ProtoDriver, DiffDriver {}
