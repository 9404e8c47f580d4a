/**
 * `lamella check --deep` of an image against `sha256sum` of its layers' tars, by as many processes as there are processors.
 * On one loop ext4 with a journal; all of it is in the page cache.
 *
 *   node --import ./scripts/ts.mjs bench/check.ts [--image full] [--rounds 5]
 */
import { execFileSync } from "node:child_process";
import { availableParallelism } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { openStore } from "../src/index.ts";
import { debianImage } from "../test/support/debian-image.ts";
import { makeFilesystem } from "../test/support/filesystems.ts";
import { run } from "../test/support/processes.ts";
import { alternate, report } from "./alternate.ts";

const { values } = parseArgs({
	options: { image: { type: "string", default: "full" }, rounds: { type: "string", default: "5" } },
});
const image = await debianImage(values.image === "small" ? "small" : "full");
using filesystem = makeFilesystem("ext4", 8 * 2 ** 30);
const root = path.join(filesystem.path, "store");
{
	await using store = await openStore({ root, driver: "packed" });
	await store.importImage(image.dockerArchive, { name: "bench:1" });
}
run("sync", ["-f", filesystem.path]);
const sums = `ls ${root}/layers/*/layer.tar | xargs -P${availableParallelism()} -n1 sha256sum > /dev/null`;
const cli = path.join(import.meta.dirname, "../dist/bin/lamella.js");
const scores = await alternate(
	[
		{ name: "sha256sum of the tars", measure: () => void execFileSync("sh", ["-c", sums]) },
		{
			name: "lamella check --deep",
			measure: () => void execFileSync(process.execPath, [cli, "--root", root, "--quiet", "check", "--deep"]),
		},
	],
	Number(values.rounds),
);
console.log(report(`Check (${values.image})`, scores));
