/**
 * A store with many layers and images against one with ten: opening it, listing, status, create and remove. On one loop
 * ext4 with a journal.
 *
 *   node --import ./scripts/ts.mjs bench/many-layers.ts [--layers 10000] [--images 2000] [--rounds 15]
 */
import { createHash } from "node:crypto";
import path from "node:path";
import { parseArgs } from "node:util";
import { type ImageId, type ImageName, openStore, type Store } from "../src/index.ts";
import { makeFilesystem } from "../test/support/filesystems.ts";
import { run } from "../test/support/processes.ts";
import { median } from "./alternate.ts";

const { values } = parseArgs({
	options: {
		layers: { type: "string", default: "10000" },
		images: { type: "string", default: "2000" },
		rounds: { type: "string", default: "15" },
	},
});

using filesystem = makeFilesystem("ext4", 8 * 2 ** 30);
const many = path.join(filesystem.path, "many");
const few = path.join(filesystem.path, "few");
await fill(many, Number(values.layers), Number(values.images));
await fill(few, 10, 2);
run("sync", ["-f", filesystem.path]);

const steps = new Map<string, { few: number[]; many: number[] }>();
for (let round = 0; round < Number(values.rounds); round++) {
	await measure("few", few, round);
	await measure("many", many, round);
}
console.log(`${values.layers} layers and ${values.images} images, beside ten and two (medians)`);
for (const [step, times] of steps) {
	const [a, b] = [median(times.few), median(times.many)];
	console.log(`  ${step.padEnd(18)} ${a.toFixed(2).padStart(8)} ms ${b.toFixed(2).padStart(8)} ms`);
}

async function measure(which: "few" | "many", root: string, round: number): Promise<void> {
	const timed = async <T>(step: string, work: () => Promise<T> | T): Promise<T> => {
		const startMs = performance.now();
		const result = await work();
		const times = steps.get(step) ?? { few: [], many: [] };
		times[which].push(performance.now() - startMs);
		steps.set(step, times);
		return result;
	};
	await using store = await timed("open", () => openStore({ root }));
	await timed("layers", () => store.layers().length);
	await timed("images", () => store.images().length);
	await timed("status", () => store.status().images);
	for (let i = 0; i < 3; i++) {
		const name = `bench-${round}-${i}`;
		await timed("create", () => store.create(name, { from: "base" }));
		await timed("remove", () => store.remove(name));
	}
}

/** Writable layers over one that is committed, and image records that end at it. */
async function fill(root: string, layers: number, images: number): Promise<void> {
	await using store: Store = await openStore({ root });
	const { layerStore } = store;
	const id = (text: string): Parameters<typeof layerStore.get>[0] => text as never;
	await layerStore.create(id("key"));
	await layerStore.commit(id("key"), id("base"));
	for (let i = 1; i < layers; i++) {
		await layerStore.create(id(`web-${i}`), { parent: id("base"), durable: false });
	}
	const digest = (text: string): string => `sha256:${createHash("sha256").update(text).digest("hex")}`;
	await layerStore.transaction(({ records }) => {
		for (let i = 0; i < images; i++) {
			const imageId = digest(`image ${i}`) as ImageId;
			const name = `docker.io/library/image:${i}` as ImageName;
			const layer = { diffId: digest("d"), chainId: digest("d"), layer: "base", tarSizeBytes: 1 };
			const key = imageId.slice("sha256:".length);
			const record = { id: imageId, names: [name], importedAtMs: i, os: "linux", architecture: "amd64" };
			records("images").put(key, { ...record, layers: [layer] });
			records("image-names").put(name, key);
		}
	});
}
