/**
 * Random edits, checkpoints, rollbacks, forks, squashes and removals against a model that keeps the whole tree of every layer
 * as plain data: after every step every layer shows what the model says.
 */
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { unmountBelow } from "../../test/support/filesystems.ts";
import { expectSameTree } from "../../test/support/same-tree.ts";
import { applyEdits, type Edit, randomEdits } from "../layer/testing/random-edits.ts";
import { type NodeSnapshot, snapshotTree } from "../layer/testing/snapshot-tree.ts";
import type { FlattenPolicy, LayerId, LayerStore, Mount } from "./contract.ts";
import { openLayerStore } from "./open-store.ts";
import { randomBelow } from "./testing/random.ts";

type Tree = Record<string, NodeSnapshot>;

const STEPS = Number(process.env.LAMELLA_CHECKPOINT_STEPS ?? 60);
const SEED = Number(process.env.LAMELLA_CHECKPOINT_SEED ?? 7);
const LAYERS_MAX = 10;

// A merged mount changes directories' times of its own accord, and xattrs of overlayfs are the store's.
const treeAt = (directory: string): Tree =>
	snapshotTree(directory, { ignoreDirectoryTimes: true, ignoreXattr: (name) => name.includes("overlay.") });

class Model {
	readonly #store: LayerStore;
	readonly #below: (below: number) => number;
	readonly #edits: (readonly Edit[])[];
	/** What each writable layer and each checkpoint shows. */
	readonly #writable = new Map<LayerId, Tree>();
	readonly #committed = new Map<LayerId, Tree>();
	readonly #mounts = new Map<LayerId, Mount>();
	#names = 0;

	constructor(store: LayerStore, seed: number) {
		this.#store = store;
		this.#below = randomBelow(seed);
		this.#edits = fc.sample(randomEdits(4), { seed, numRuns: 500 });
	}

	async begin(): Promise<void> {
		const name = "x" as LayerId;
		await this.#store.create("making" as LayerId);
		const mount = await this.#store.mount("making" as LayerId);
		for (let i = 0; i < 5; i++) applyEdits(mount.path, this.#edits[i] ?? []);
		await mount.unmount();
		// Of a tar, so that the driver `packed` packs it.
		await this.#store.applyLayer(
			"base" as LayerId,
			this.#store.diff("making" as LayerId, { skipUnsupported: true }).stream,
		);
		await this.#store.remove("making" as LayerId);
		await this.#store.create(name, { parent: "base" as LayerId });
		await this.#note(name);
	}

	async step(): Promise<string> {
		const layer = this.#any([...this.#writable.keys()]);
		const steps = [
			() => this.#edit(layer),
			() => this.#edit(layer),
			() => this.#mountOrNot(layer),
			() => this.#checkpoint(layer),
			() => this.#checkpoint(layer),
			() => this.#rollBack(layer),
			() => this.#fork(layer),
			() => this.#squash(layer),
			() => this.#remove(layer),
		];
		return `${layer}: ${await this.#any(steps)()}`;
	}

	/** Every layer shows what it should. */
	async check(): Promise<void> {
		for (const [layer, tree] of [...this.#writable, ...this.#committed]) {
			await using mount = await this.#store.mount(layer);
			expectSameTree(treeAt(mount.path), tree);
		}
	}

	async end(): Promise<void> {
		for (const mount of this.#mounts.values()) await mount.unmount();
		for (const layer of this.#writable.keys()) await this.#store.remove(layer);
		for (const { id, depth } of [...this.#store.list()].sort((a, b) => b.depth - a.depth)) {
			expect([id, depth]).toBeDefined();
			if (this.#store.has(id)) await this.#store.remove(id);
		}
		await this.#store.cleanup();
		expect([...this.#store.list()]).toEqual([]);
	}

	#any<T>(of: readonly T[]): T {
		return of[this.#below(of.length)] as T;
	}

	async #note(layer: LayerId): Promise<void> {
		await using mount = await this.#store.mount(layer);
		this.#writable.set(layer, treeAt(mount.path));
	}

	async #edit(layer: LayerId): Promise<string> {
		const mount = await this.#store.mount(layer);
		applyEdits(mount.path, this.#any(this.#edits));
		await mount.unmount();
		await this.#note(layer);
		return "edit";
	}

	async #mountOrNot(layer: LayerId): Promise<string> {
		const mounted = this.#mounts.get(layer);
		if (mounted !== undefined) {
			this.#mounts.delete(layer);
			await mounted.unmount();
			return "unmount";
		}
		this.#mounts.set(layer, await this.#store.mount(layer));
		return "mount";
	}

	async #checkpoint(layer: LayerId): Promise<string> {
		const as = this.#below(4) === 0 ? (`named-${this.#names++}` as LayerId) : undefined;
		const { id } = await this.#store.checkpoint(layer, { as });
		this.#committed.set(id, this.#writable.get(layer) ?? {});
		return `checkpoint ${id}`;
	}

	async #rollBack(layer: LayerId): Promise<string> {
		const history = this.#store.history(layer).map(({ id }) => id);
		if (history.length === 0 || this.#isVfsMounted(layer)) return "nothing to roll back";
		const to = this.#any(history);
		const keep = this.#below(3) === 0 ? (`kept-${this.#names++}` as LayerId) : undefined;
		const before = this.#writable.get(layer) ?? {};
		await this.#store.rollback(layer, { to, keep });
		if (keep !== undefined) this.#committed.set(keep, before);
		this.#writable.set(layer, this.#committed.get(to) ?? {});
		this.#forget();
		return `rollback to ${to}`;
	}

	/** What vfs hands out is a directory, which a rollback does not change under who has it. */
	#isVfsMounted(layer: LayerId): boolean {
		return this.#store.status().driver === "vfs" && this.#mounts.has(layer);
	}

	async #fork(layer: LayerId): Promise<string> {
		if (this.#writable.size >= LAYERS_MAX) return "too many layers";
		const history = this.#store.history(layer).map(({ id }) => id);
		const from = this.#below(2) === 0 && history.length > 0 ? this.#any(history) : undefined;
		const names = Array.from({ length: 1 + this.#below(2) }, () => `fork-${this.#names++}` as LayerId);
		await this.#store.fork(layer, names, { from });
		const tree = (from === undefined ? this.#writable.get(layer) : this.#committed.get(from)) ?? {};
		for (const name of names) this.#writable.set(name, tree);
		for (const { id } of this.#store.history(layer))
			if (!this.#committed.has(id)) this.#committed.set(id, tree);
		return `fork ${names.join(",")} from ${from ?? "now"}`;
	}

	async #squash(layer: LayerId): Promise<string> {
		const before = this.#store.get(layer).parent;
		if (this.#store.history(layer).every(({ id }) => id !== before)) return "nothing to squash";
		const { id } = await this.#store.squash(layer);
		const tree = this.#committed.get(before as LayerId) ?? {};
		this.#forget();
		this.#committed.set(id, tree);
		const above = this.#store.get(layer).parent;
		if (above !== undefined && above !== id) this.#committed.set(above, this.#writable.get(layer) ?? {});
		return `squash to ${id}`;
	}

	async #remove(layer: LayerId): Promise<string> {
		if (this.#writable.size < 2 || this.#below(3) > 0) return "not removed";
		await this.#mounts.get(layer)?.unmount();
		this.#mounts.delete(layer);
		await this.#store.remove(layer);
		this.#writable.delete(layer);
		this.#forget();
		return "remove";
	}

	/** Checkpoints may go with what is removed, but none that has a name or that somebody stands on. */
	#forget(): void {
		for (const id of this.#committed.keys()) {
			if (this.#store.has(id)) continue;
			expect(id).not.toMatch(/^(named|kept)/);
			this.#committed.delete(id);
		}
	}
}

const cases: readonly (readonly ["overlay" | "vfs" | "packed", FlattenPolicy])[] = [
	["overlay", "auto"],
	["overlay", "always"],
	["overlay", "never"],
	["packed", "auto"],
	["vfs", "auto"],
];

it.each(cases)(
	"every layer shows what was done in it, and nothing else (%s, %s)",
	async (driver, flatten) => {
		const root = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
		const steps: string[] = [];
		try {
			await using store = await openLayerStore({ root, driver, flatten });
			const model = new Model(store, SEED);
			await model.begin();
			for (let i = 0; i < STEPS; i++) {
				steps.push(await model.step());
				await model.check();
			}
			await model.end();
			expect(store.status().details.filter(([key]) => key === "Problem")).toEqual([]);
		} catch (error) {
			throw new Error(`after ${steps.slice(-12).join("; ")}`, { cause: error });
		} finally {
			unmountBelow(root);
			rmSync(root, { recursive: true, force: true });
		}
	},
	600_000,
);
