/**
 * The graph driver over a LayerStore: ids are mapped to layers (layer-ids.ts), writable parents are frozen
 * (bases.ts), everything else is the store's.
 *
 * Operations on one id take turns; operations on different ids run side by side, and a diff holds no lock while it
 * streams (dockerd's commit reads the diff of one layer into the applyDiff of another).
 */
import { chownSync, existsSync } from "node:fs";
import path from "node:path";
import type { Readable } from "node:stream";
import { isLamellaError, LamellaError } from "../errors/index.ts";
import { hostRoot, type IdMaps } from "../idmap/index.ts";
import type { Change } from "../layer/index.ts";
import type { DiffOptions, LayerId, LayerInfo, LayerStore } from "../store/index.ts";
import { Bases, labelled, MOUNT_LABEL_LABEL } from "./bases.ts";
import type { CreateOptions, GraphDriver } from "./contract.ts";
import type { Home } from "./home.ts";
import { KeyedLock } from "./keyed-lock.ts";
import { checkId, FROZEN_FROM_LABEL, ID_LABEL, LayerIds } from "./layer-ids.ts";
import { driverStatus, layerMetadata } from "./metadata.ts";
import { checkStorageOptions } from "./options.ts";

export class StoreGraphDriver implements GraphDriver, AsyncDisposable {
	/** The store below; layers made through it directly are seen by their ids. */
	readonly store: LayerStore;
	readonly #ids: LayerIds;
	readonly #bases: Bases;
	readonly #idMaps: IdMaps | undefined;
	readonly #lock = new KeyedLock();
	readonly #home: Home;
	#closed: Promise<void> | undefined;

	/** @internal Use `init`. */
	constructor(store: LayerStore, idMaps: IdMaps | undefined, home: Home) {
		this.store = store;
		this.#home = home;
		this.#idMaps = idMaps;
		this.#ids = new LayerIds(store);
		this.#bases = new Bases(store, this.#ids, idMaps);
	}

	/** Reads what there is, and finishes or takes back what a killed process left half done. */
	async recover(): Promise<void> {
		const { superseded, internal } = this.#ids.load();
		for (const id of superseded) await this.store.remove(id, { force: true });
		for (const layer of internal) {
			if (!this.store.has(layer.id) || this.store.children(layer.id).length > 0) continue;
			const origin = layer.labels[FROZEN_FROM_LABEL];
			if (origin !== undefined && this.#ids.find(origin) === undefined) {
				await this.#bases.resume(origin, layer.id, layer.labels[MOUNT_LABEL_LABEL]);
			} else {
				await this.#bases.removeUnused(layer.id);
			}
		}
	}

	/**
	 * What a new dockerd expects: of the holds that the last one had, one remains on whatever is still mounted
	 * (moby's RefCounter counts a mount that it finds as one).
	 */
	async adoptMounts(): Promise<void> {
		for (const id of this.#ids.ids()) {
			const layer = this.#ids.find(id);
			if (layer === undefined) continue;
			for (let count = this.store.get(layer).mountCount; count > 1; count--) await this.store.unmount(layer);
		}
	}

	name(): string {
		return this.store.status().driver;
	}

	async status(): Promise<readonly (readonly [string, string])[]> {
		return driverStatus(this.store);
	}

	async exists(id: string): Promise<boolean> {
		return this.#ids.find(id) !== undefined;
	}

	create(id: string, parent: string, options: CreateOptions = {}): Promise<void> {
		// The name without suffix is for the layer that the diff will make of it, durably.
		return this.#create(id, parent, options, { suffix: ":pending", durable: false });
	}

	createReadWrite(id: string, parent: string, options: CreateOptions = {}): Promise<void> {
		return this.#create(id, parent, options, { suffix: "", durable: true });
	}

	async #create(
		id: string,
		parent: string,
		options: CreateOptions,
		{ suffix, durable }: { readonly suffix: string; readonly durable: boolean },
	): Promise<void> {
		checkId(id);
		if (parent !== "") checkId(parent);
		checkStorageOptions(options.storageOpt);
		const mountLabel = options.mountLabel || undefined;
		await this.#lock.run(parent === "" ? [id] : [id, parent], async () => {
			if (this.#ids.find(id) !== undefined) {
				throw new LamellaError("EEXISTS", `there is a layer "${id}" already`, { layer: id });
			}
			const base = parent === "" ? undefined : await this.#bases.baseOf(parent);
			const name = this.#ids.freeName(id, suffix);
			try {
				await this.store.create(name, {
					parent: base,
					labels: { [ID_LABEL]: id, ...labelled(mountLabel) },
					mountLabel,
					idMaps: this.#idMaps,
					durable,
				});
			} catch (error) {
				if (base !== undefined) await this.#bases.removeUnused(base);
				throw error;
			}
			this.#ids.set(id, name);
		});
	}

	async remove(id: string): Promise<void> {
		checkId(id);
		await this.#lock.run([id], async () => {
			const name = this.#ids.find(id);
			if (name !== undefined) {
				const { parent } = this.store.get(name);
				await this.store.remove(name, { force: true });
				if (parent !== undefined) await this.#bases.removeUnused(parent);
			}
			this.#ids.delete(id);
		});
	}

	async get(id: string, mountLabel = ""): Promise<string> {
		checkId(id);
		return this.#lock.run([id], async () => {
			const layer = this.#ids.resolve(id);
			const isFirst = this.#idMaps !== undefined && layer.mountCount === 0;
			const mount = await this.store.mount(layer.id, mountLabel === "" ? {} : { mountLabel });
			if (isFirst && layer.kind === "active") this.#giveToMappedRoot(layer);
			return mount.path;
		});
	}

	/**
	 * In a user namespace the container's root has to walk through the layer's directory, and overlayfs moves
	 * directories up by way of work/work. As moby: after the mount, which makes work/work.
	 */
	#giveToMappedRoot(layer: LayerInfo): void {
		if (this.#idMaps === undefined) return;
		const { uid, gid } = hostRoot(this.#idMaps);
		chownSync(layer.directory, uid, gid);
		const { work } = this.store.paths(layer.id);
		const overlaysOwn = work === undefined ? undefined : path.join(work, "work");
		if (overlaysOwn !== undefined && existsSync(overlaysOwn)) chownSync(overlaysOwn, uid, gid);
	}

	async put(id: string): Promise<void> {
		checkId(id);
		await this.#lock.run([id], async () => {
			const name = this.#ids.find(id);
			if (name === undefined) return;
			try {
				await this.store.unmount(name);
			} catch (error) {
				// A mount that an earlier process left, and nobody holds, is unmounted even if it is in use.
				if (!isLamellaError(error, "EBUSY") || this.store.get(name).mountCount > 0) throw error;
				await this.store.unmount(name, { force: true });
			}
		});
	}

	async metadata(id: string): Promise<Readonly<Record<string, string>>> {
		return layerMetadata(this.store.paths(this.#ids.resolve(id).id));
	}

	async cleanup(): Promise<void> {
		for (const id of [...this.#ids.ids()]) {
			await this.#lock.run([id], async () => {
				const name = this.#ids.find(id);
				if (name === undefined || this.store.get(name).mountCount === 0) return;
				await this.store.unmount(name, { force: true });
			});
		}
	}

	/** Holes come as zeros: dockerd's tar-split knows no sparse files. */
	async diff(id: string, parent: string): Promise<Readable> {
		const { layer, options } = await this.#comparison(id, parent);
		const { stream, result } = this.store.diff(layer, {
			...options,
			idMaps: this.#idMaps,
			expandHoles: true,
		});
		// The reader learns of a failure from the stream.
		result.catch(() => undefined);
		return stream;
	}

	async changes(id: string, parent: string): Promise<readonly Change[]> {
		const { layer, options } = await this.#comparison(id, parent);
		return this.store.changes(layer, options);
	}

	async diffSize(id: string, parent: string): Promise<number> {
		const { layer, options } = await this.#comparison(id, parent);
		return this.store.diffSize(layer, options);
	}

	/** A layer's own diff where that is the difference to `parent`, else a comparison of two trees. */
	async #comparison(id: string, parent: string): Promise<{ layer: LayerId; options: DiffOptions }> {
		const layer = this.#ids.resolve(id);
		if (parent === "")
			return { layer: layer.id, options: layer.parent === undefined ? {} : { against: null } };
		const other = this.#ids.resolve(parent);
		const otherContent = await this.#bases.contentOf(other);
		const isOther = (candidate: LayerId | undefined): boolean =>
			candidate === other.id || candidate === otherContent.id;
		if (isOther(layer.parent)) return { layer: layer.id, options: {} };
		const content = await this.#bases.contentOf(layer);
		if (isOther(content.parent)) return { layer: content.id, options: {} };
		return { layer: layer.id, options: { against: otherContent.id } };
	}

	/**
	 * Makes the layer's content of a tar: a committed layer takes the created layer's place under the same id.
	 * Without a parent the tar goes over what the layer holds.
	 * @throws {LamellaError} `ENOTFOUND`, `EKIND` (it has its content already), `EBUSY` (mounted), `ETAR`, `EUNSAFE`, `ENOSPACE`
	 */
	async applyDiff(id: string, parent: string, diff: Readable): Promise<number> {
		checkId(id);
		if (parent !== "") checkId(parent);
		// The store meets a failure when it reads; one that comes before that must not end the process.
		diff.on("error", () => {});
		// The parent is not held while the tar comes in: containers are made from it meanwhile.
		const base = await this.#lock.run(parent === "" ? [id] : [id, parent], async () => {
			this.#checkTakesDiff(id, this.#ids.resolve(id));
			return parent === "" || parent === id ? this.#ownBase(id) : this.#bases.baseOf(parent);
		});
		try {
			return await this.#lock.run([id], () => this.#applyOver(id, base, diff));
		} catch (error) {
			if (base !== undefined) await this.#bases.removeUnused(base);
			throw error;
		}
	}

	async #applyOver(id: string, base: LayerId | undefined, diff: Readable): Promise<number> {
		this.#checkTakesDiff(id, this.#ids.resolve(id));
		const applied = await this.store.applyLayer(this.#ids.freeName(id), diff, {
			parent: base,
			labels: { [ID_LABEL]: id },
			idMaps: this.#idMaps,
		});
		const replaced = this.#ids.resolve(id);
		this.#ids.set(id, applied.id);
		await this.store.remove(replaced.id, { force: true });
		if (replaced.parent !== undefined) await this.#bases.removeUnused(replaced.parent);
		return applied.applied.contentSizeBytes;
	}

	#checkTakesDiff(id: string, layer: LayerInfo): void {
		if (layer.kind !== "active") {
			throw new LamellaError("EKIND", `layer "${id}" has its content already and cannot be changed`, {
				layer: id,
			});
		}
		if (layer.mountCount > 0) {
			throw new LamellaError("EBUSY", `layer "${id}" is mounted; put it before a diff is applied to it`, {
				layer: id,
			});
		}
	}

	/** What a layer holds itself; nothing where it has no parent and nothing was written to it. */
	async #ownBase(id: string): Promise<LayerId | undefined> {
		const layer = this.#ids.resolve(id);
		const empty = layer.parent === undefined && (await this.store.changes(layer.id)).length === 0;
		return empty ? undefined : this.#bases.baseOf(id);
	}

	/** Whether the home is still the directory that was opened. Where it is not, every call fails: open it anew. */
	isAtHome(): boolean {
		return this.#home.isThere();
	}

	/** Lets go of the store and the home; mounts stay. Twice is harmless. */
	close(): Promise<void> {
		this.#closed ??= this.store.close().finally(() => this.#home.release());
		return this.#closed;
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.close();
	}
}
