/**
 * A process for tests whose disk loses its power: several lanes of random operations at a store, and on standard output what
 * began, what was acknowledged and what failed, a line of JSON each (PowerCutLine).
 *
 *     node power-cut-child.js ROOT TAR PREFIX SEED LANES [CONTROL CUT_SEED AFTER COUNT DELAY_MS]
 *
 * Before a layer is committed it says `edited`, and waits for a line with the layer's id on standard input: time for the
 * parent to look at what is going to be committed. With CONTROL it cuts the disk itself, DELAY_MS after the acknowledgement
 * of the COUNTth operation AFTER (`commit`; `create volatile` and `remove volatile` are not durable).
 */
import {
	chmodSync,
	chownSync,
	closeSync,
	linkSync,
	mkdirSync,
	openSync,
	renameSync,
	statSync,
	symlinkSync,
	truncateSync,
	utimesSync,
	writeFileSync,
	writeSync,
} from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import * as linux from "../../linux/index.ts";
import { type Labels, type LayerId, openLayerStore, parseLayerId } from "../index.ts";
import { randomBelow } from "./random.ts";

export type PowerCutOperation =
	| {
			readonly op: "create";
			readonly id: LayerId;
			readonly parent: LayerId | undefined;
			readonly labels: Labels;
	  }
	| { readonly op: "commit"; readonly id: LayerId; readonly name: LayerId; readonly labels: Labels }
	| {
			readonly op: "apply";
			readonly id: LayerId;
			readonly parent: LayerId | undefined;
			readonly labels: Labels;
	  }
	| { readonly op: "checkpoint"; readonly id: LayerId; readonly name: LayerId; readonly labels: Labels }
	| { readonly op: "rollback"; readonly id: LayerId }
	| { readonly op: "labels"; readonly id: LayerId; readonly labels: Labels }
	| { readonly op: "remove"; readonly id: LayerId }
	| { readonly op: "records"; readonly keys: readonly string[]; readonly value: string };

export type PowerCutLine =
	| { readonly say: "open" }
	| ({ readonly say: "begin"; readonly n: number; readonly durable: boolean } & PowerCutOperation)
	| { readonly say: "edited"; readonly id: LayerId; readonly directory: string }
	| { readonly say: "done"; readonly n: number }
	| { readonly say: "failed"; readonly n: number; readonly code: string; readonly message: string }
	| { readonly say: "cut" };

const NAMES = ["a", "b", "c", "etc", "usr", "caf\u00e9", "x".repeat(200)];

const [root = "", tar = "", prefix = "", seed = "0", lanes = "4", control, cutSeed, after, count, delayMs] =
	process.argv.slice(2);

const say = (line: PowerCutLine): void => void writeSync(1, `${JSON.stringify(line)}\n`);

const seen = new Map<string, () => void>();
createInterface({ input: process.stdin }).on("line", (id) => seen.get(id)?.());

/** Until the parent has looked. */
async function edited(id: LayerId, directory: string): Promise<void> {
	const looked = new Promise<void>((resolve) => seen.set(id, resolve));
	say({ say: "edited", id, directory });
	await looked;
	seen.delete(id);
}

let operations = 0;
let counted = 0;

function cutDisk(): void {
	if (control === undefined) return;
	const fd = openSync(control, "r+");
	writeSync(fd, `cut ${cutSeed}`);
	closeSync(fd);
	say({ say: "cut" });
}

/** Runs an operation between its lines; returns whether it was acknowledged. */
async function run(
	operation: PowerCutOperation,
	durable: boolean,
	work: () => Promise<unknown>,
): Promise<boolean> {
	const n = operations++;
	say({ say: "begin", n, durable, ...operation });
	try {
		await work();
	} catch (error) {
		const { message } = error as Error;
		say({ say: "failed", n, code: String(Reflect.get(error as Error, "code")), message });
		return false;
	}
	const isAwaited = after === `${operation.op}${durable ? "" : " volatile"}` && ++counted === Number(count);
	// Before the line is written, where it is to be at once.
	if (isAwaited && delayMs === "0") cutDisk();
	say({ say: "done", n });
	if (isAwaited && delayMs !== "0") setTimeout(cutDisk, Number(delayMs));
	return true;
}

// The layers of one store come to be of both forms, over one another.
const store = await openLayerStore({
	root,
	driver: Number(seed) % 2 === 0 ? "packed" : "overlay",
	flatten: Number(seed) % 3 === 0 ? "always" : "auto",
	threads: 2,
});
say({ say: "open" });
/** Who is at a committed layer: it can be a parent of several, but is changed by one alone. */
const users = new Map<LayerId, number>();
const committed: LayerId[] = [...store.list()].filter(({ kind }) => kind === "committed").map(({ id }) => id);
const left: LayerId[] = [...store.list()].filter(({ kind }) => kind === "active").map(({ id }) => id);

/** With one lane nobody else flushes what it leaves unflushed. */
const isQuiet = lanes === "1";
await Promise.all(Array.from({ length: Number(lanes) }, (_, lane) => work(lane)));

/** Goes on until something fails that only a power cut explains. */
async function work(lane: number): Promise<void> {
	const random = randomBelow(Number(seed) * 16 + lane);
	const one = <T>(items: readonly T[]): T | undefined => items[random(items.length)];
	for (let round = 0; ; round++) {
		const id = parseLayerId(`${prefix}/${lane}-${round}`);
		const durable = random(3) === 0;
		const kind = random(20);
		if (isQuiet ? kind < 10 : kind === 19) {
			if (!(await comeAndGo(id))) return;
		} else if (kind < 12) {
			if (!(await makeLayer(id, durable, random))) return;
		} else if (kind < 14) {
			const parent = one(committed);
			const labels = { from: id };
			const source = {
				from: "range",
				path: tar,
				offset: 0,
				sizeBytes: statSync(tar).size,
				compression: "detect",
			} as const;
			const apply = (): Promise<boolean> =>
				run({ op: "apply", id, parent, labels }, true, () =>
					store.applyLayer(id, source, { parent, labels }),
				);
			if (!(await with_(parent, apply))) return;
			committed.push(id);
		} else if (kind < 16) {
			const labels = { changed: id };
			const isDone = await alone(one(committed), (layer) =>
				run({ op: "labels", id: layer, labels }, true, () => store.setLabels(layer, labels)),
			);
			if (!isDone) return;
		} else if (kind < 18) {
			const leftOver = left.pop();
			const remove = (layer: LayerId): Promise<boolean> =>
				run({ op: "remove", id: layer }, durable, () => store.remove(layer, { durable }));
			if (leftOver !== undefined) {
				if (!(await remove(leftOver))) return;
				continue;
			}
			const isDone = await alone(one(committed), async (layer) => {
				if (store.children(layer).length > 0) return true;
				committed.splice(committed.indexOf(layer), 1);
				return await remove(layer);
			});
			if (!isDone) return;
		} else {
			// Both, or neither.
			const keys = [`${lane}-one`, `${lane}-other`];
			const isDone = await run({ op: "records", keys, value: id }, true, () =>
				store.transaction((transaction) => {
					const records = transaction.records("images");
					for (const key of keys) records.put(key, { value: id });
				}),
			);
			if (!isDone) return;
		}
		if (random(4) === 0) await sleep(random(40));
	}
}

/** Creates a layer, changes it, commits it; now and then it is removed or left instead. */
async function makeLayer(id: LayerId, durable: boolean, random: (below: number) => number): Promise<boolean> {
	const parent = committed[random(committed.length + 1)];
	const labels = { made: id };
	const create = (): Promise<boolean> =>
		run({ op: "create", id, parent, labels }, durable, () => store.create(id, { parent, labels, durable }));
	if (!(await with_(parent, create))) return false;
	const { directory } = store.get(id);
	edit(path.join(directory, "diff"), random);
	const fate = random(12);
	if (fate === 0) return true;
	if (fate === 1) return await run({ op: "remove", id }, true, () => store.remove(id));
	await edited(id, path.join(directory, "diff"));
	if (fate < 5) return await goBackAndForth(id, random);
	const name = parseLayerId(`${id}/done`);
	const commitLabels = { committed: name };
	const isDone = await run({ op: "commit", id, name, labels: commitLabels }, true, () =>
		store.commit(id, name, { labels: commitLabels }),
	);
	if (isDone) committed.push(name);
	return isDone;
}

/** A checkpoint of a layer, mounted or not, and now and then a rollback to it and a fork of it. */
async function goBackAndForth(id: LayerId, random: (below: number) => number): Promise<boolean> {
	const mount = random(2) === 0 ? await store.mount(id) : undefined;
	const name = parseLayerId(`${id}/kept`);
	const labels = { checkpoint: name };
	const checkpoint = (): Promise<unknown> => store.checkpoint(id, { as: name, labels });
	if (!(await run({ op: "checkpoint", id, name, labels }, true, checkpoint))) return false;
	committed.push(name);
	edit(path.join(store.get(id).directory, "diff"), random);
	if (random(2) === 0 && !(await run({ op: "rollback", id }, true, () => store.rollback(id)))) return false;
	const fork = parseLayerId(`${id}/fork`);
	const forkLabels = { fork };
	const isForked = (): Promise<boolean> =>
		run({ op: "create", id: fork, parent: name, labels: forkLabels }, true, () =>
			store.fork(id, [fork], { from: name, labels: forkLabels }),
		);
	if (random(2) === 0 && !(await with_(name, isForked))) return false;
	await mount?.unmount();
	return true;
}

/** Layers that are made and removed one after the other. */
async function comeAndGo(prefix: LayerId): Promise<boolean> {
	const ids = [1, 2, 3, 4].map((n) => parseLayerId(`${prefix}.${n}`));
	for (const id of ids) {
		const labels = { made: id };
		const create = (): Promise<unknown> => store.create(id, { labels, durable: false });
		if (!(await run({ op: "create", id, parent: undefined, labels }, false, create))) return false;
	}
	for (const [i, id] of ids.entries()) {
		const durable = i % 2 === 0;
		if (!(await run({ op: "remove", id }, durable, () => store.remove(id, { durable })))) return false;
	}
	return true;
}

async function with_(parent: LayerId | undefined, work: () => Promise<boolean>): Promise<boolean> {
	if (parent === undefined) return await work();
	users.set(parent, (users.get(parent) ?? 0) + 1);
	try {
		return await work();
	} finally {
		users.set(parent, (users.get(parent) ?? 1) - 1);
	}
}

/** Only where nobody else is at the layer. */
async function alone(
	layer: LayerId | undefined,
	work: (layer: LayerId) => Promise<boolean>,
): Promise<boolean> {
	if (layer === undefined || (users.get(layer) ?? 0) > 0) return true;
	// Nobody takes it as a parent meanwhile.
	const index = committed.indexOf(layer);
	committed.splice(index, 1);
	committed.push(layer);
	return await with_(layer, () => work(layer));
}

function edit(diff: string, random: (below: number) => number): void {
	let made = 0;
	const fresh = (directory: string): string =>
		path.join(directory, `${NAMES[random(NAMES.length)] ?? "n"}${made++}`);
	const content = (sizeBytes: number): Buffer => Buffer.alloc(sizeBytes, `${random(1 << 30)} `);
	const directories = [diff];
	const files: string[] = [];
	const extent = random(10);
	if (extent === 0) return;
	if (extent === 1) writeFileSync(fresh(diff), content(200_000));
	if (extent === 2) {
		for (let i = 0; i < 100; i++) writeFileSync(path.join(diff, `many${i}`), content(random(2000)));
	}
	for (let steps = random(10); steps >= 0; steps--) {
		const at = fresh(directories[random(directories.length)] ?? diff);
		const file = files[random(files.length)];
		const kind = random(16);
		if (kind < 6) {
			writeFileSync(at, content(random(3) === 0 ? 0 : random(6000)), { mode: 0o640 });
			files.push(at);
		} else if (kind < 8) {
			mkdirSync(at, { mode: 0o750 });
			if (random(3) === 0) linux.lsetxattrAt(linux.AT_FDCWD, at, "trusted.overlay.opaque", Buffer.from("y"));
			directories.push(at);
		} else if (kind === 8) {
			// At the top: overlayfs shows the names of whiteouts in a directory that it does not merge.
			linux.mknodat(linux.AT_FDCWD, fresh(diff), linux.S_IFCHR, 0, 0);
		} else if (kind === 9) symlinkSync("../some/where".repeat(1 + random(10)), at);
		else if (kind === 10 && file !== undefined) linkSync(file, at);
		else if (kind === 11 && file !== undefined) {
			linux.lsetxattrAt(linux.AT_FDCWD, file, "user.some", content(random(300)));
		} else if (kind === 12 && file !== undefined) {
			chownSync(file, random(70_000), random(70_000));
			chmodSync(file, 0o4755);
		} else if (kind === 13 && file !== undefined) {
			// As an editor does it: aside, and then over the other.
			writeFileSync(at, content(random(5000)));
			renameSync(at, file);
		} else if (kind === 14 && file !== undefined) {
			truncateSync(file, random(20_000));
			utimesSync(file, 1, 1_600_000_000.123);
		} else if (kind === 15) linux.mknodat(linux.AT_FDCWD, at, linux.S_IFIFO | 0o600, 0, 0);
	}
}
