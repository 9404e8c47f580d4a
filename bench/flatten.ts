/**
 * Making a whole root by hard links: the `flatten` job, in a thread as the store runs it, against `cp -al` of the same
 * tree, each on the same loop ext4 with a journal, taking turns.
 *
 *   node --import ./scripts/ts.mjs bench/flatten.ts [--image small|full] [--rounds N]
 */
import { mkdirSync, rmSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { JobPool } from "../src/jobs/index.ts";
import { LAYER_JOBS, type LayerJobs } from "../src/layer/index.ts";
import { debianImage } from "../test/support/debian-image.ts";
import { makeFilesystem } from "../test/support/filesystems.ts";
import { run } from "../test/support/processes.ts";
import { alternate, report } from "./alternate.ts";

const { values } = parseArgs({
	options: { image: { type: "string", default: "full" }, rounds: { type: "string", default: "5" } },
});
const image = await debianImage(values.image === "small" ? "small" : "full");

using filesystem = makeFilesystem("ext4", 24 * 2 ** 30);
const at = (name: string): string => path.join(filesystem.path, name);
const settle = (): void => {
	run("sync", ["-f", filesystem.path]);
};
await using jobs = new JobPool<LayerJobs>(LAYER_JOBS, { threads: 1 });

// The image's layers over one another as one plain tree: what both have to link.
const archive = at("archive");
const tree = at("tree");
for (const directory of [archive, tree]) mkdirSync(directory);
run("tar", ["-C", archive, "-xf", image.dockerArchive]);
const [manifest] = JSON.parse(run("cat", [path.join(archive, "manifest.json")]).stdout) as {
	Layers: string[];
}[];
for (const layer of manifest?.Layers ?? []) {
	const file = path.join(archive, layer);
	await jobs.run("apply", {
		target: {
			form: "plain",
			directory: tree,
			lowers: [],
			xattrPrefix: "trusted.overlay.",
			shareInodes: false,
		},
		source: {
			from: "range",
			path: file,
			offset: 0,
			sizeBytes: Number(run("stat", ["-c%s", file]).stdout),
			compression: "none",
		},
	});
}
const entries = run("find", [tree]).stdout.split("\n").length - 1;

const scores = await alternate(
	[
		{
			name: "cp -al",
			prepare: () => {
				rmSync(at("copy"), { recursive: true, force: true });
				settle();
			},
			measure: () => {
				run("cp", ["-al", tree, at("copy")]);
			},
		},
		{
			name: "flatten",
			prepare: () => {
				rmSync(at("root"), { recursive: true, force: true });
				mkdirSync(at("root"));
				settle();
			},
			measure: async () => {
				const request = { lowers: [tree], target: at("root"), xattrPrefix: "trusted.overlay." } as const;
				await jobs.run("flatten", request);
			},
		},
	],
	Number(values.rounds),
);
console.log(report(`Hard-linking ${entries} entries of ${image.reference} (${values.image})`, scores));
