/**
 * What may be in a store after a power cut, from what was begun, acknowledged and looked at before it. Of each layer: in
 * which states it may be found, with which labels, and what it has in it once it is committed.
 */
import type { NodeSnapshot } from "../../src/layer/testing/snapshot-tree.ts";
import type { LayerStore } from "../../src/store/index.ts";
import type { PowerCutLine, PowerCutOperation } from "../../src/store/testing/power-cut-child.ts";
import { differences } from "./same-tree.ts";

export type Tree = Record<string, NodeSnapshot>;

/** One of the states that something may be in. */
interface State {
	readonly id: string;
	readonly kind: "active" | "committed";
	readonly parent: string | undefined;
	readonly labels: Readonly<Record<string, string>>;
	readonly tree?: Tree | undefined;
}

/** A layer through its life: created as one id, committed as another. */
interface Layer {
	/** What may be found; `undefined`: nothing. */
	states: (State | undefined)[];
	/**
	 * What its sidecar may say besides: an operation that was cut off may have left it as it was before, or as it would have
	 * become, and of a layer that was made without a flush it may be lost.
	 */
	sidecar: (State | undefined)[];
	/** Looked at before the commit. */
	edited?: Tree;
}

interface Begun {
	readonly durable: boolean;
	readonly operation: PowerCutOperation;
	readonly layer: Layer | undefined;
	readonly before: readonly (State | undefined)[];
	/** The checkpoint that it makes. */
	readonly kept?: Layer | undefined;
}

export class PowerCutModel {
	readonly #imported: Tree;
	/** By every id that the layer has had. */
	readonly #layers = new Map<string, Layer>();
	readonly #records = new Map<string, readonly (string | undefined)[]>();
	/** What the records' files may say besides. */
	readonly #recordFiles = new Map<string, readonly (string | undefined)[]>();
	#begun = new Map<number, Begun>();
	readonly failures: string[] = [];

	/** `imported` is what a layer that is applied from the test's tar has in it. */
	constructor(imported: Tree) {
		this.#imported = imported;
	}

	/** How many layers are known of. */
	get size(): number {
		return new Set(this.#layers.values()).size;
	}

	/** A line of the child; `isCut`: the disk was cut before it was written, perhaps. */
	hear(line: PowerCutLine, isCut: boolean): void {
		if (line.say === "begin") this.#begin(line.n, line, line.durable);
		else if (line.say === "done") this.#done(line.n);
		else if (line.say === "failed" && !isCut) {
			const { operation } = this.#begun.get(line.n) ?? {};
			this.failures.push(`${JSON.stringify(operation)} failed: ${line.code} ${line.message}`);
		}
	}

	looked(id: string, tree: Tree): void {
		const layer = this.#layers.get(id);
		if (layer !== undefined) layer.edited = tree;
	}

	#begin(n: number, operation: PowerCutOperation, durable: boolean): void {
		if (operation.op === "records") {
			for (const key of operation.keys) {
				this.#records.set(key, [...(this.#records.get(key) ?? [undefined]), operation.value]);
			}
			this.#begun.set(n, { durable, operation, layer: undefined, before: [] });
			return;
		}
		const { id } = operation;
		const layer = this.#layers.get(id) ?? { states: [undefined], sidecar: [] };
		this.#layers.set(id, layer);
		if (operation.op === "commit") this.#layers.set(operation.name, layer);
		const { states: before } = layer;
		const kept = operation.op === "checkpoint" ? this.#checkpoint(operation, layer) : undefined;
		this.#begun.set(n, { durable, operation, layer, before, kept });
		layer.states = [...before, ...this.#after(operation, layer)];
	}

	/** The layer that a checkpoint makes. */
	#checkpoint({ name, labels }: Extract<PowerCutOperation, { op: "checkpoint" }>, of: Layer): Layer {
		const parent = of.states.find((state) => state?.kind === "active")?.parent;
		const state: State = { id: name, kind: "committed", parent, labels, tree: of.edited };
		const kept: Layer = { states: [undefined, state], sidecar: [] };
		this.#layers.set(name, kept);
		return kept;
	}

	/** The states that the operation leads to. */
	#after(operation: PowerCutOperation, layer: Layer): (State | undefined)[] {
		const now = layer.states.filter((state) => state !== undefined);
		switch (operation.op) {
			case "create":
				return [{ ...operation, kind: "active" }];
			case "apply":
				return [{ ...operation, kind: "committed", tree: this.#imported }];
			case "commit":
				return now
					.filter(({ kind }) => kind === "active")
					.map(({ parent }) => ({
						id: operation.name,
						kind: "committed",
						parent,
						labels: operation.labels,
						tree: layer.edited,
					}));
			case "checkpoint":
				return now
					.filter(({ kind }) => kind === "active")
					.map((state) => ({ ...state, parent: operation.name }));
			case "rollback":
				return now.map((state) => ({ ...state }));
			case "labels":
				return now.map((state) => ({ ...state, labels: operation.labels }));
			default:
				return [undefined];
		}
	}

	#done(n: number): void {
		const begun = this.#begun.get(n);
		if (begun === undefined) return;
		this.#begun.delete(n);
		const { durable, operation, layer, before } = begun;
		if (operation.op === "records") {
			for (const key of operation.keys) {
				this.#records.set(key, [operation.value]);
				this.#recordFiles.delete(key);
			}
		} else if (layer !== undefined && durable && operation.op === "remove") {
			layer.states = [undefined];
		} else if (layer !== undefined && durable) {
			layer.states = layer.states.filter((state) => !before.includes(state));
			layer.sidecar = [];
			if (begun.kept !== undefined)
				begun.kept.states = begun.kept.states.filter((state) => state !== undefined);
		}
	}

	/**
	 * What is wrong with the store. What is found is what is expected from now on. `rebuilt`: the database was made anew from
	 * what lies beside the layers.
	 */
	check(
		store: LayerStore,
		treeOf: (directory: string) => Tree,
		{ rebuilt = false }: { readonly rebuilt?: boolean } = {},
	): string[] {
		const wrong = this.failures.splice(0);
		if (rebuilt)
			for (const layer of this.#layers.values()) layer.states = [...layer.states, ...layer.sidecar];
		const found = new Map([...store.list()].map((info) => [info.id as string, info]));
		for (const layer of new Set(this.#layers.values())) {
			const ids = [...new Set(layer.states.map((state) => state?.id))];
			const there = ids.filter((id) => id !== undefined && found.has(id));
			const described = ids.map((id) => id ?? "nothing").join(" or ");
			if (there.length > 1) wrong.push(`found ${there.join(" and ")}`);
			const [id] = there;
			const info = id === undefined ? undefined : found.get(id);
			if (info === undefined) {
				layer.sidecar = [];
				if (!layer.states.includes(undefined)) wrong.push(`found nothing, not ${described}`);
				layer.states = [undefined];
				continue;
			}
			found.delete(info.id);
			const same = layer.states.filter(
				(state) =>
					state?.id === info.id &&
					state.kind === info.kind &&
					state.parent === info.parent &&
					JSON.stringify(state.labels) === JSON.stringify(info.labels),
			);
			const [state] = same;
			if (state === undefined) {
				const { kind, parent, labels } = info;
				wrong.push(
					`${info.id} is ${JSON.stringify({ kind, parent, labels })}, not of ${JSON.stringify(layer.states.map((state) => state && { ...state, tree: undefined }))}`,
				);
				continue;
			}
			layer.sidecar.push(...layer.states);
			layer.states = [state];
			if (state.tree !== undefined) {
				const differing = differences(treeOf(info.directory), state.tree);
				if (Object.keys(differing).length > 0) {
					wrong.push(`${info.id} at ${info.directory} differs: ${JSON.stringify(differing, undefined, 1)}`);
				}
			}
		}
		for (const id of found.keys()) wrong.push(`found ${id}, which is no more or never was`);
		for (const [key, now] of this.#records) {
			const before = this.#recordFiles.get(key) ?? [];
			const values = rebuilt ? [...now, ...before] : now;
			const read = (key: string): string | undefined =>
				store.records<{ value: string }>("images").get(key)?.value;
			if (!values.includes(read(key)))
				wrong.push(`record ${key} is ${read(key)}, not of ${values.join(", ")}`);
			this.#recordFiles.set(key, [...before, ...now]);
			this.#records.set(key, [read(key)]);
			const other = key.replace(/one$/, "other");
			if (read(key) !== read(other) && !rebuilt) {
				wrong.push(`record ${key} is ${read(key)}, and that of the same transaction ${read(other)}`);
			}
		}
		this.#begun = new Map();
		return wrong;
	}
}
