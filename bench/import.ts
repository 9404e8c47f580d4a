/**
 * Import of a real image: `lamella import` against `docker load` (dockerd -s overlay2) and `tar -x` of the same layers,
 * each on the same loop ext4 with a journal, taking turns, from an empty store each time.
 *
 *   node --import ./scripts/ts.mjs bench/import.ts [--image small|full] [--rounds N]
 */
import { mkdirSync, rmSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { debianImage } from "../test/support/debian-image.ts";
import { Dockerd } from "../test/support/dockerd.ts";
import { makeFilesystem } from "../test/support/filesystems.ts";
import { run } from "../test/support/processes.ts";
import { alternate, type Contestant, report } from "./alternate.ts";

const { values } = parseArgs({
	options: {
		image: { type: "string", default: "full" },
		rounds: { type: "string", default: "5" },
		docker: { type: "boolean", default: true },
	},
	allowNegative: true,
});
const image = await debianImage(values.image === "small" ? "small" : "full");
const cli = path.resolve(import.meta.dirname, "../dist/bin/lamella.js");

using filesystem = makeFilesystem("ext4", 24 * 2 ** 30);
const at = (name: string): string => path.join(filesystem.path, name);
const settle = (): void => {
	run("sync", ["-f", filesystem.path]);
};

/** The layers as plain files, once, so that tar only extracts. */
const layers = at("layers");
mkdirSync(layers);
run("tar", ["-C", layers, "-xf", image.dockerArchive]);
const layerTars = run("find", [layers, "-name", "layer.tar", "-type", "f"])
	.stdout.split("\n")
	.filter(Boolean);

await using dockerd = values.docker
	? await Dockerd.start({ driver: "overlay2", home: at("docker") })
	: undefined;

function lamella(name: string, archive: string): Contestant {
	return {
		name,
		prepare: () => {
			rmSync(at("lamella"), { recursive: true, force: true });
			settle();
		},
		measure: () => {
			run(process.execPath, [cli, "--root", at("lamella"), "import", archive, "--name", "debian:demo"]);
		},
	};
}

const contestants: Contestant[] = [
	...(dockerd === undefined
		? []
		: [
				{
					name: "docker load (overlay2)",
					prepare: () => {
						run("/usr/bin/docker", ["-H", dockerd.host, "rmi", "-f", image.reference], { mayFail: true });
						settle();
					},
					measure: () => {
						dockerd.docker("load", "-q", "-i", image.dockerArchive);
					},
				},
			]),
	lamella("lamella import, docker archive", image.dockerArchive),
	lamella("lamella import, OCI gzip", image.ociArchiveGzip),
	lamella("lamella import, OCI zstd", image.ociArchiveZstd),
	{
		name: "tar -x of the plain layers",
		prepare: () => {
			rmSync(at("tar"), { recursive: true, force: true });
			settle();
		},
		measure: () => {
			for (const [i, layer] of layerTars.entries()) {
				mkdirSync(at(`tar/${i}`), { recursive: true });
				run("tar", ["-C", at(`tar/${i}`), "--xattrs", "--numeric-owner", "-xf", layer]);
			}
			settle();
		},
	},
];

const scores = await alternate(contestants, Number(values.rounds));
console.log(report(`Import of ${image.reference} (${values.image})`, scores));
