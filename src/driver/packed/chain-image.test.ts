import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { makeDirectory } from "../../../test/support/filesystems.ts";
import type { LayerJobRunner, LayerPlace } from "../driver.ts";
import { PACKED } from "../form.ts";
import { imageMountOf, tarOf, usersOf } from "../place.ts";
import { ChainImages } from "./chain-image.ts";

const NO_JOBS: LayerJobRunner = { run: () => Promise.reject(new Error("no job is needed here")) };

function emptyLayer(directory: string): LayerPlace {
	const layer: LayerPlace = { directory, mountPoint: "/nowhere", form: PACKED };
	writeFileSync(tarOf(layer), "");
	mkdirSync(usersOf(layer));
	return layer;
}

test("one that stands on no image is released while the last that does is, by another process", async () => {
	using directory = makeDirectory();
	const layer = emptyLayer(directory.path);
	// As in two processes: their locks know nothing of one another.
	const [ours, theirs] = [0, 1].map(() => new ChainImages({ jobs: NO_JOBS, scratch: undefined }));
	await Promise.all([theirs?.release(layer, ["last"]), ours?.release(layer, ["other"])]);
	expect(readdirSync(directory.path)).toEqual([path.basename(tarOf(layer))]);
});

test("what stands on an image in another mount namespace keeps its name and the image's directory", async () => {
	using directory = makeDirectory();
	const layer = emptyLayer(directory.path);
	mkdirSync(imageMountOf(layer));
	writeFileSync(path.join(usersOf(layer), "theirs@1"), "");
	await new ChainImages({ jobs: NO_JOBS, scratch: undefined }).release(layer, ["ours"]);
	expect(readdirSync(usersOf(layer))).toEqual(["theirs@1"]);
	expect(existsSync(imageMountOf(layer))).toBe(true);
});
