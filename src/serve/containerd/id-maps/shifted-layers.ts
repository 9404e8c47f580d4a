/**
 * Copies of committed layers with the owners that an ID map gives them, where idmapped mounts are not made
 * (`id-maps = "copy"`). Each copy is a committed layer over the one that it copies. It holds the whole tree, and so covers every
 * entry below it. A layer has one copy for each map. The copy is made when a snapshot first asks for it, and all snapshots with
 * that map share it; containerd is not shown it. It goes with the last snapshot over it, and with its parent.
 *
 * A copy shares no inode with another layer, so that no other layer's file ever changes its owner.
 *
 * The original is read through a view, `containerd-shifted/from/<process>/<number>`: its mount outlives a process that
 * is killed, and a mount of the parent itself would keep the parent from being removed.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { LamellaError } from "../../../errors/index.ts";
import { formatIdMap, type IdMaps } from "../../../idmap/index.ts";
import { type LayerId, type LayerInfo, type LayerStore, parseLayerId } from "../../../store/index.ts";

const PREFIX = "containerd-shifted/";
const VIEW_PREFIX = `${PREFIX}from/`;

/**
 * A removal that a power cut undoes is made again: containerd has recorded its own before it asks, and its garbage collection
 * removes what it has no record of.
 */
const REPEATED = { durable: false };

/** A copy that is removed between being found and being used is made again, so often. */
const TRIES = 5;

/** The layer that a snapshot stands on as containerd knows it: of a copy the one that was copied. */
export function shownParent(store: LayerStore, { parent }: LayerInfo): LayerId | undefined {
	return parent !== undefined && isCopy(parent) ? store.get(parent).parent : parent;
}

function isCopy(id: LayerId): boolean {
	return id.startsWith(PREFIX) && !isView(id);
}

function isView(id: LayerId): boolean {
	return id.startsWith(VIEW_PREFIX);
}

/** Whether the process that made the view is gone. */
function isLeft(view: LayerId): boolean {
	const [maker = ""] = view.slice(VIEW_PREFIX.length).split("/");
	return processName(maker.split("-")[0] ?? "") !== maker;
}

/** A process, told from all others since the machine started; `undefined` where there is none with that number. */
function processName(pid: string): string | undefined {
	try {
		// The start time is the 20th field after the name, which may hold anything (proc(5)).
		const started = readFileSync(`/proc/${pid}/stat`, "latin1")
			.replace(/^.*\) /s, "")
			.split(" ")[19];
		return `${pid}-${started ?? ""}`;
	} catch {
		return undefined;
	}
}

function copyId(parent: LayerId, { uids, gids }: IdMaps): LayerId {
	const text = JSON.stringify([parent, formatIdMap(uids), formatIdMap(gids)]);
	return parseLayerId(PREFIX + createHash("sha256").update(text).digest("hex"));
}

export class ShiftedLayers {
	readonly #store: LayerStore;
	readonly #making = new Map<LayerId, Promise<void>>();
	readonly #process = processName(String(process.pid)) ?? "";
	#views = 0;

	constructor(store: LayerStore) {
		this.#store = store;
	}

	/**
	 * Calls `use` with a copy of the committed `parent`, which it makes where there is none; the copying is done in workers.
	 * @throws {LamellaError} `EINVALID` (an owner without a number on the host), `ENOTFOUND`, `ENOSPACE`; as `use`
	 */
	async using<R>(parent: LayerId, idMaps: IdMaps, use: (copy: LayerId) => Promise<R>): Promise<R> {
		const id = copyId(parent, idMaps);
		for (let tries = 1; ; tries++) {
			await this.#made(id, parent, idMaps);
			try {
				return await use(id);
			} catch (error) {
				// Somebody removed the last snapshot over it meanwhile, and it with that.
				if (this.#store.has(id) || !this.#store.has(parent) || tries === TRIES) throw error;
			}
		}
	}

	/**
	 * Removes a snapshot, with the copies of it that nobody uses, and with the copy below it if that is used no more.
	 * @throws {LamellaError} as LayerStore.remove
	 */
	async remove(id: LayerId): Promise<void> {
		const { parent } = this.#store.get(id);
		for (const child of this.#store.children(id)) if (isView(child)) await this.#removeIfLeft(child);
		const unused = this.#store.children(id).filter((child) => isCopy(child) && this.#isUnused(child));
		await this.#store.removeAll([...unused, id], REPEATED);
		if (parent !== undefined && isCopy(parent)) await this.#removeUnused(parent);
	}

	/** Removes what a kill has left: copies that nobody uses, and views that nobody copies from. */
	async sweep(): Promise<void> {
		for (const { id } of [...this.#store.list()]) {
			if (isView(id)) await this.#removeIfLeft(id);
			else if (isCopy(id) && !this.#making.has(id)) await this.#removeUnused(id);
		}
	}

	async #removeIfLeft(view: LayerId): Promise<void> {
		if (isLeft(view) && this.#store.has(view)) await this.#store.remove(view, { force: true });
	}

	#isUnused(id: LayerId): boolean {
		return this.#store.children(id).length === 0;
	}

	async #removeUnused(id: LayerId): Promise<void> {
		if (!this.#store.has(id) || !this.#isUnused(id)) return;
		try {
			await this.#store.remove(id, REPEATED);
		} catch (error) {
			// A new snapshot came to stand on it, or another call removed it: both are as well.
			if (error instanceof LamellaError && ["EREFERENCED", "ENOTFOUND", "EBUSY"].includes(error.code)) return;
			throw error;
		}
	}

	async #made(id: LayerId, parent: LayerId, idMaps: IdMaps): Promise<void> {
		if (this.#store.has(id)) return;
		const making =
			this.#making.get(id) ?? this.#make(id, parent, idMaps).finally(() => this.#making.delete(id));
		this.#making.set(id, making);
		await making;
	}

	async #make(id: LayerId, parent: LayerId, idMaps: IdMaps): Promise<void> {
		const view = parseLayerId(`${VIEW_PREFIX}${this.#process}/${this.#views++}`);
		await this.#store.create(view, { kind: "view", parent, durable: false });
		try {
			await this.#copy(view, id, parent, idMaps);
		} finally {
			await this.#store.remove(view, { force: true });
		}
	}

	async #copy(from: LayerId, id: LayerId, parent: LayerId, idMaps: IdMaps): Promise<void> {
		const { stream, result } = this.#store.diff(from, { against: null });
		try {
			await this.#store.applyLayer(id, stream, { parent, idMaps });
			await result;
		} catch (error) {
			stream.destroy();
			// Another process at the store was first.
			if (error instanceof LamellaError && error.code === "EEXISTS") return;
			throw error;
		}
	}
}
