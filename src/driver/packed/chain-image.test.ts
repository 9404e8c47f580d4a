import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { makeDirectory } from "../../../test/support/filesystems.ts";
import type { LayerJobRunner, LayerPlace } from "../driver.ts";
import { PACKED } from "../form.ts";
import { tarOf, usersOf } from "../place.ts";
import { ChainImages } from "./chain-image.ts";

const NO_JOBS: LayerJobRunner = { run: () => Promise.reject(new Error("no job is needed here")) };

test("one that stands on no image is released while the last that does is, by another process", async () => {
	using directory = makeDirectory();
	const layer: LayerPlace = { directory: directory.path, mountPoint: "/nowhere", form: PACKED };
	writeFileSync(tarOf(layer), "");
	mkdirSync(usersOf(layer));
	// As in two processes: their locks know nothing of one another.
	const [ours, theirs] = [0, 1].map(() => new ChainImages({ jobs: NO_JOBS, scratch: undefined }));
	await Promise.all([theirs?.release([layer], ["last"]), ours?.release([layer], ["other"])]);
	expect(readdirSync(directory.path)).toEqual([path.basename(tarOf(layer))]);
});
