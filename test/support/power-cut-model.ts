/**
 * What may be in a store after a power cut, from what was begun, acknowledged and looked at before it. Of each layer: in
 * which states it may be found, with which labels, and what it has in it once it is committed. See
 * docs/decisions/0008-layers-made-early.md for what `early` allows.
 */
import type { NodeSnapshot } from "../../src/layer/testing/snapshot-tree.ts";
import type { LayerStore } from "../../src/store/index.ts";
import type { PowerCutLine, PowerCutOperation } from "../../src/store/testing/power-cut-child.ts";

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
	/** Whether the states are in the database for sure, so that what is removed cannot come back on its own. */
	isRecorded: boolean;
	isRemoved: boolean;
	/** Looked at before the commit. */
	edited?: Tree;
}

interface Begun {
	readonly early: boolean;
	readonly operation: PowerCutOperation;
	readonly layer: Layer | undefined;
	readonly before: readonly (State | undefined)[];
	readonly wasRecorded: boolean;
	/** Early operations that were acknowledged before this one began: they get recorded before it. */
	readonly earlier: readonly (() => void)[];
}

export class PowerCutModel {
	readonly #imported: Tree;
	/** By every id that the layer has had. */
	readonly #layers = new Map<string, Layer>();
	readonly #records = new Map<string, readonly (string | undefined)[]>();
	#begun = new Map<number, Begun>();
	/** What becomes certain about early operations that were acknowledged once something later is recorded. */
	#unrecorded = new Set<() => void>();
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
		if (line.say === "begin") this.#begin(line.n, line, line.early);
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

	#begin(n: number, operation: PowerCutOperation, early: boolean): void {
		const earlier = [...this.#unrecorded];
		if (operation.op === "records") {
			for (const key of operation.keys) {
				this.#records.set(key, [...(this.#records.get(key) ?? [undefined]), operation.value]);
			}
			this.#begun.set(n, { early, operation, layer: undefined, before: [], wasRecorded: true, earlier });
			return;
		}
		const { id } = operation;
		const layer = this.#layers.get(id) ?? { states: [undefined], isRecorded: false, isRemoved: false };
		this.#layers.set(id, layer);
		if (operation.op === "commit") this.#layers.set(operation.name, layer);
		const { states: before, isRecorded: wasRecorded } = layer;
		this.#begun.set(n, { early, operation, layer, before, wasRecorded, earlier });
		if (operation.op === "remove") layer.isRemoved = true;
		layer.states = [...layer.states, ...this.#after(operation, layer)];
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
		const { early, operation, layer, before, wasRecorded, earlier } = begun;
		if (!early) {
			for (const certain of earlier) {
				if (!this.#unrecorded.delete(certain)) continue;
				certain();
			}
		}
		if (layer === undefined) {
			if (operation.op !== "records") return;
			for (const key of operation.keys) this.#records.set(key, [operation.value]);
			return;
		}
		const after = layer.states.filter((state) => !before.includes(state));
		if (operation.op === "remove") {
			if (!early) layer.states = [undefined];
			// What nobody but the process knew of may have got to the disk without its removal.
			else if (wasRecorded) {
				this.#unrecorded.add(() => {
					layer.states = [undefined];
				});
			}
			return;
		}
		// A commit is durable though it is promised, and recorded later.
		if (!early || operation.op === "commit") layer.states = after;
		layer.isRecorded = !early;
		if (!early) return;
		this.#unrecorded.add(() => {
			layer.isRecorded = true;
			if (!layer.isRemoved) layer.states = layer.states.filter((state) => state !== undefined);
		});
	}

	/** What is wrong with the store. What is found is what is expected from now on. */
	check(store: LayerStore, treeOf: (directory: string) => Tree): string[] {
		const wrong = this.failures.splice(0);
		const found = new Map([...store.list()].map((info) => [info.id as string, info]));
		for (const layer of new Set(this.#layers.values())) {
			const ids = [...new Set(layer.states.map((state) => state?.id))];
			const there = ids.filter((id) => id !== undefined && found.has(id));
			const described = ids.map((id) => id ?? "nothing").join(" or ");
			if (there.length > 1) wrong.push(`found ${there.join(" and ")}`);
			const [id] = there;
			const info = id === undefined ? undefined : found.get(id);
			if (info === undefined) {
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
			layer.states = [state];
			layer.isRecorded = true;
			layer.isRemoved = false;
			if (state.tree !== undefined) {
				const differing = differences(treeOf(info.directory), state.tree);
				if (Object.keys(differing).length > 0) {
					wrong.push(`${info.id} at ${info.directory} differs: ${JSON.stringify(differing, undefined, 1)}`);
				}
			}
		}
		for (const id of found.keys()) wrong.push(`found ${id}, which is no more or never was`);
		for (const [key, values] of this.#records) {
			const value = store.records<{ value: string }>("images").get(key)?.value;
			if (!values.includes(value)) wrong.push(`record ${key} is ${value}, not of ${values.join(", ")}`);
			this.#records.set(key, [value]);
			const other = store.records<{ value: string }>("images").get(key.replace(/one$/, "other"))?.value;
			if (value !== other) wrong.push(`record ${key} is ${value}, and that of the same transaction ${other}`);
		}
		this.#begun = new Map();
		this.#unrecorded = new Set();
		return wrong;
	}
}

/** What differs, by path; of many the first ones. */
export function differences(
	actual: Tree,
	expected: Tree,
): Record<string, { actual: NodeSnapshot | undefined; expected: NodeSnapshot | undefined }> {
	const paths = new Set([...Object.keys(expected), ...Object.keys(actual)]);
	const differing = [...paths].filter(
		(path) => JSON.stringify(actual[path]) !== JSON.stringify(expected[path]),
	);
	return Object.fromEntries(
		differing.slice(0, 10).map((path) => [path, { actual: actual[path], expected: expected[path] }]),
	);
}
