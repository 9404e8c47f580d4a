/** An import looks at the layers that the store has already, and takes those that are damaged from the archive. */
import fs from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { makeDirectory } from "../../../test/support/filesystems.ts";
import { makeLayeredImage } from "../../../test/support/layered-image.ts";
import type { LayerId } from "../../store/index.ts";
import { leftovers, openTestImages, type TestImages } from "../testing/open-images.ts";

let archive: string;
beforeAll(() => {
	const directory = makeDirectory();
	archive = path.join(directory.path, "image.tar");
	makeLayeredImage(archive, { layers: 3, name: "test/repair:1" });
	return () => directory[Symbol.dispose]();
});

interface Imported {
	readonly layers: readonly LayerId[];
	/** Of each layer, bottom first. */
	readonly directories: readonly string[];
}

async function importOnce({ images, store }: TestImages): Promise<Imported> {
	const [image] = await images.import(archive, { name: "one" });
	const layers = image?.layers.map(({ layer }) => layer) ?? [];
	return { layers, directories: layers.map((layer) => store.get(layer).directory) };
}

async function contentOf(
	{ store }: TestImages,
	parent: LayerId | undefined,
	name: string,
): Promise<string[]> {
	await store.create(name as LayerId, { parent });
	await using mount = await store.mount(name as LayerId);
	const files = fs.readdirSync(mount.path, { recursive: true, withFileTypes: true });
	return files
		.filter((file) => file.isFile())
		.map((file) => path.join(file.parentPath, file.name))
		.map((file) => `${path.relative(mount.path, file)} ${fs.readFileSync(file).toString("base64")}`)
		.sort();
}

const DAMAGES: readonly (readonly [string, (directory: string) => void])[] = [
	["whose tar is missing", (directory) => fs.rmSync(path.join(directory, "layer.tar"))],
	["whose tar was cut short", (directory) => fs.truncateSync(path.join(directory, "layer.tar"), 5120)],
	[
		"whose tar was altered",
		(directory) => {
			const fd = fs.openSync(path.join(directory, "layer.tar"), "r+");
			fs.writeSync(fd, "altered", 700);
			fs.closeSync(fd);
		},
	],
	["whose index is missing", (directory) => fs.rmSync(path.join(directory, "layer.index"))],
	[
		"whose index is damaged",
		(directory) => fs.writeFileSync(path.join(directory, "layer.index"), "LAMELIDX, but no more"),
	],
	["whose directory is missing", (directory) => fs.rmSync(directory, { recursive: true })],
];

describe("an import of an image that the store has", () => {
	for (const [what, damage] of DAMAGES) {
		for (const at of [0, 1, 2]) {
			it(`puts layer ${at + 1} of 3 in place again ${what}`, async () => {
				await using test = await openTestImages();
				const { store } = test;
				const { layers, directories } = await importOnce(test);
				const expected = await contentOf(test, layers.at(-1), "before");
				damage(directories[at] as string);
				expect(store.damaged(layers)).toEqual([layers[at]]);
				await importOnce(test);
				expect(store.damaged(layers)).toEqual([]);
				expect((await store.check({ layers, deep: true })).findings).toEqual([]);
				expect(await contentOf(test, layers.at(-1), "after")).toEqual(expected);
			});
		}
	}

	it("leaves a mount that stands on damaged data as it is, and mounts what it repaired for others", async () => {
		await using test = await openTestImages();
		const { store } = test;
		const { layers, directories } = await importOnce(test);
		const expected = await contentOf(test, layers.at(-1), "before");
		await store.create("running" as LayerId, { parent: layers.at(-1) });
		await using _running = await store.mount("running" as LayerId);
		const tar = path.join(directories[0] as string, "layer.tar");
		const fd = fs.openSync(tar, "r+");
		fs.writeSync(fd, Buffer.alloc(fs.fstatSync(fd).size - 4096), 0, undefined, 4096);
		fs.closeSync(fd);
		await importOnce(test);
		expect(await contentOf(test, layers.at(-1), "after")).toEqual(expected);
	});

	it("takes nothing for a layer that was applied by hand, whose ID maps it does not know", async () => {
		await using test = await openTestImages();
		const { store, images } = test;
		const { layers, directories } = await importOnce(test);
		const tars = directories.map((directory, i) => {
			const tar = path.join(test.work, `${i}.tar`);
			fs.copyFileSync(path.join(directory, "layer.tar"), tar);
			return tar;
		});
		await images.remove("one");
		const sourceOf = (at: number) => {
			const tar = tars[at] as string;
			const { size } = fs.statSync(tar);
			return { from: "range", path: tar, offset: 0, sizeBytes: size, compression: "none" } as const;
		};
		const idMaps = {
			uids: [{ containerId: 0, hostId: 100_000, size: 65_536 }],
			gids: [{ containerId: 0, hostId: 100_000, size: 65_536 }],
		};
		const byHand = await store.applyLayer("by-hand" as LayerId, sourceOf(0), { idMaps });
		await store.applyLayer(layers[1] as LayerId, sourceOf(1), { parent: byHand.id, idMaps });
		fs.rmSync(path.join(byHand.directory, "layer.tar"));

		const refused = importOnce(test);
		await expect(refused).rejects.toMatchObject({ code: "ECORRUPT", layer: "by-hand" });
		await expect(refused).rejects.toThrow(/layer 1 of 3.*"by-hand" is damaged.*applied by hand/);
		expect(store.damaged([byHand.id])).toEqual([byHand.id]);
		expect(leftovers(test.root)).toEqual([]);
	});
});
