/**
 * Mounts by the library of a container over an image of 1, 20 and 100 layers: the first one, which mounts the image too, and the
 * next, over packed layers and over trees; and the removal of the image. On a loop ext4 with a journal.
 *
 *   node --import ./scripts/ts.mjs bench/mount.ts [--rounds N]
 */
import { existsSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { openStore } from "../src/index.ts";
import { makeFilesystem } from "../test/support/filesystems.ts";
import { makeLayeredImage } from "../test/support/layered-image.ts";
import { median } from "./alternate.ts";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "20" } } });
using filesystem = makeFilesystem("ext4", 4 * 2 ** 30);
const times = new Map<string, number[]>();
async function timed<T>(step: string, work: () => Promise<T>): Promise<T> {
	const startMs = performance.now();
	const result = await work();
	times.set(step, [...(times.get(step) ?? []), performance.now() - startMs]);
	return result;
}

for (const layers of [1, 20, 100]) {
	const archive = path.join(filesystem.path, `${layers}.tar`);
	makeLayeredImage(archive, { layers, name: "bench.test/layers:1", salt: String(layers) });
	for (const driver of ["packed", "overlay"] as const) {
		const about = `${driver}, ${layers} layers`;
		await using store = await openStore({
			root: path.join(filesystem.path, `${driver}-${layers}`),
			driver,
			flatten: "never",
		});
		const [image] = await store.importImage(archive, { name: "bench:1" });
		const top = image?.layers.at(-1)?.layer;
		for (let round = 0; round < Number(values.rounds); round += 1) {
			await store.create("one", { from: "bench:1" });
			await store.create("two", { from: "bench:1" });
			const one = await timed(`${about}: first mount`, () => store.mount("one"));
			const two = await timed(`${about}: next mount`, () => store.mount("two"));
			await timed(`${about}: unmount`, () => two.unmount());
			await timed(`${about}: last unmount`, () => one.unmount());
			await store.remove("one");
			await store.remove("two");
		}
		const directory = top === undefined ? "" : store.layer(top).directory;
		await timed(`${about}: rmi returns`, () => store.removeImage("bench:1"));
		await timed(`${about}: rmi, until the files are gone`, async () => {
			while (existsSync(directory)) await new Promise((resolve) => setTimeout(resolve, 1));
		});
	}
}
for (const [step, each] of times) console.log(`${step.padEnd(48)} ${median(each).toFixed(2).padStart(8)} ms`);
