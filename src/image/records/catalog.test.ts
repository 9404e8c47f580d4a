import fs from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { digestOf } from "../../layer/index.ts";
import type { ImageId, ImageName } from "../contract.ts";
import { openTestImages } from "../testing/open-images.ts";
import { findImage, forgetImage, forgetNames, listImages, type NewImage, saveImage } from "./catalog.ts";
import { keyOf } from "./image-record.ts";

const CONFIGS = ["x", "y", "z"].map((text) => Buffer.from(text));
const IDS = CONFIGS.map((config) => digestOf<ImageId>(config));
const NAMES = ["a:1", "b:1", "c:1"] as ImageName[];

const image = (id: ImageId): NewImage => ({ id, os: "linux", architecture: "amd64", layers: [] });
const someNames = fc.subarray(NAMES);
const step = fc.record({
	what: fc.constantFrom("save", "untag", "forget"),
	id: fc.constantFrom(...IDS),
	names: someNames,
});

class Undone extends Error {}

it("a name belongs to the image that got it last, however images come and go", async () => {
	await using test = await openTestImages();
	for (const config of CONFIGS) await test.store.documents.put(config);
	await fc.assert(
		fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
			const model = new Map<ImageId, Set<ImageName>>();
			const run = test.store.transaction((transaction) => {
				for (const { what, id, names } of steps) {
					if (what === "save") {
						saveImage(transaction, image(id), names);
						for (const others of model.values()) for (const name of names) others.delete(name);
						model.set(id, new Set([...(model.get(id) ?? []), ...names]));
					} else if (what === "untag") {
						const own = names.filter((name) => model.get(id)?.has(name) === true);
						forgetNames(transaction, keyOf(id), own);
						for (const name of own) model.get(id)?.delete(name);
					} else {
						forgetImage(transaction, id);
						model.delete(id);
					}
				}
				const listed = listImages(transaction).map(({ id, names }) => [id, names] as const);
				expect(new Map(listed)).toEqual(new Map(Array.from(model, ([id, names]) => [id, [...names].sort()])));
				for (const name of NAMES) {
					const owner = Array.from(model).find(([, names]) => names.has(name))?.[0];
					expect(findImage(transaction, name)?.id).toBe(owner);
				}
				throw new Undone();
			});
			await expect(run).rejects.toThrow(Undone);
		}),
		{ numRuns: 50 },
	);
});

it("a damaged record is taken out by its id, and the image can be imported again", async () => {
	await using test = await openTestImages();
	for (const config of CONFIGS) await test.store.documents.put(config);
	const [id = "" as ImageId] = IDS;
	await test.store.transaction((transaction) => {
		saveImage(transaction, image(id), ["a:1" as ImageName]);
		transaction.records(`images`).put(keyOf(id), { id: "../../../etc" });
	});
	expect(() => test.images.list()).toThrowError(expect.objectContaining({ code: "ECORRUPT" }));
	await expect(test.images.remove("a:1")).rejects.toMatchObject({ code: "ECORRUPT" });
	await test.images.remove(id);
	expect(test.images.list()).toEqual([]);
	expect(test.images.find("a:1")).toBeUndefined();
});

it("an image without its documents is told to be imported again, and can be removed", async () => {
	await using test = await openTestImages();
	const [id = "" as ImageId] = IDS;
	for (const config of CONFIGS) await test.store.documents.put(config);
	await test.store.transaction((transaction) => saveImage(transaction, image(id), ["a:1" as ImageName]));
	fs.writeFileSync(path.join(test.root, "documents", keyOf(id)), "other");
	expect(() => test.images.get("a:1")).toThrowError(/is damaged: .*; import the image again, or remove it/);
	expect(test.images.list()).toHaveLength(1);
	await test.images.remove(id);
	expect(test.images.list()).toEqual([]);
});
