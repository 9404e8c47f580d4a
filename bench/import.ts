/**
 * Import of an image by `lamella import`, as packed layers and as trees, against `docker load` (dockerd -s overlay2), `ctr
 * images import` (containerd's overlayfs) and `tar -x` of the same layers with a sync, each on the same loop ext4 with a
 * journal, taking turns, from an empty store each time; then removal against `rm -rf`, and export against `cat`.
 *
 *   node --import ./scripts/ts.mjs bench/import.ts [--image small|full|files|large] [--rounds N] [--no-docker] [--no-containerd]
 */
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { benchImage } from "../test/support/bench-images.ts";
import { Containerd } from "../test/support/containerd.ts";
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
		containerd: { type: "boolean", default: true },
	},
	allowNegative: true,
});

interface Input {
	/** What is imported, by the form of the archive. */
	readonly archives: Readonly<Record<string, string>>;
	readonly docker?: { readonly archive: string; readonly reference: string } | undefined;
	readonly gzip: string;
}

using filesystem = makeFilesystem("ext4", 40 * 2 ** 30);
const at = (name: string): string => path.join(filesystem.path, name);
const settle = (): void => {
	run("sync", ["-f", filesystem.path]);
};
const cli = path.resolve(import.meta.dirname, "../dist/bin/lamella.js");
const lamella = (...args: string[]): void => {
	run(process.execPath, [cli, "--root", at("lamella"), ...args], { timeoutMs: 600_000 });
};

/** The layers as files of their own, once, so that tar only extracts. */
const plain = at("plain");
const gzipped = at("gzipped");
const input = await inputOf(values.image);
const layersOf = (directory: string): string[] =>
	readdirSync(directory).map((name) => path.join(directory, name));

async function inputOf(name: string): Promise<Input> {
	mkdirSync(plain);
	mkdirSync(gzipped);
	if (name === "files" || name === "large") {
		const { archive, tar, tarGzip } = await benchImage(name);
		run("cp", [tar, path.join(plain, "0.tar")]);
		run("cp", [tarGzip, path.join(gzipped, "0.tar.gz")]);
		return { archives: { "OCI gzip": archive }, gzip: archive };
	}
	const image = await debianImage(name === "small" ? "small" : "full");
	const unpacked = at("unpacked");
	mkdirSync(unpacked);
	run("tar", ["-C", unpacked, "-xf", image.dockerArchive]);
	const tars = run("find", [unpacked, "-name", "layer.tar", "-type", "f"]).stdout.split("\n").filter(Boolean);
	for (const [i, tar] of tars.entries()) {
		run("mv", [tar, path.join(plain, `${i}.tar`)]);
		run("sh", ["-c", `gzip -6 < ${plain}/${i}.tar > ${gzipped}/${i}.tar.gz`], { timeoutMs: 600_000 });
	}
	rmSync(unpacked, { recursive: true });
	return {
		archives: {
			"OCI gzip": image.ociArchiveGzip,
			"OCI zstd": image.ociArchiveZstd,
			"docker archive": image.dockerArchive,
		},
		docker: { archive: image.dockerArchive, reference: image.reference },
		gzip: image.ociArchiveGzip,
	};
}

const removed = (name: string) => (): void => {
	rmSync(at(name), { recursive: true, force: true });
	settle();
};

function extracting(name: string, directory: string, flags: string): Contestant {
	return {
		name,
		prepare: removed("tar"),
		measure: () => {
			for (const [i, layer] of layersOf(directory).entries()) {
				mkdirSync(at(`tar/${i}`), { recursive: true });
				run("tar", ["-C", at(`tar/${i}`), "--xattrs", "--numeric-owner", flags, layer], {
					timeoutMs: 600_000,
				});
			}
			settle();
		},
	};
}

const contestants: Contestant[] = [
	extracting("tar -xz of the layers, sync", gzipped, "-xzf"),
	extracting("tar -x of the plain layers, sync", plain, "-xf"),
];
for (const driver of ["packed", "overlay"]) {
	for (const [form, archive] of Object.entries(input.archives)) {
		contestants.push({
			name: `lamella (${driver}), ${form}`,
			prepare: removed("lamella"),
			measure: () => lamella("--driver", driver, "import", archive, "--name", "bench:demo"),
		});
	}
}
const { docker } = input;
await using dockerd =
	values.docker && docker !== undefined
		? await Dockerd.start({ driver: "overlay2", home: at("docker") })
		: undefined;
if (dockerd !== undefined && docker !== undefined) {
	contestants.push({
		name: "docker load (overlay2)",
		prepare: () => {
			run("/usr/bin/docker", ["-H", dockerd.host, "rmi", "-f", docker.reference], { mayFail: true });
			settle();
		},
		measure: () => {
			dockerd.docker("load", "-q", "-i", docker.archive);
		},
	});
}
mkdirSync(at("containerd"));
await using containerd = values.containerd ? await Containerd.start(at("containerd"), {}) : undefined;
if (containerd !== undefined) {
	contestants.push({
		name: "ctr images import (overlayfs)",
		prepare: async () => {
			const names = (await containerd.ctr("images", "ls", "-q")).split("\n").filter(Boolean);
			if (names.length > 0) await containerd.ctr("images", "rm", "--sync", ...names);
			settle();
		},
		measure: async () => {
			await containerd.ctr("images", "import", "--snapshotter", "overlayfs", input.gzip);
			settle();
		},
	});
}
console.log(report(`Import (${values.image})`, await alternate(contestants, Number(values.rounds))));

const imported = (driver: string) => (): void => {
	removed("lamella")();
	lamella("--driver", driver, "import", input.gzip, "--name", "bench:demo");
	settle();
};
const tarBytes = layersOf(plain).reduce((sum, tar) => sum + statSync(tar).size, 0);
for (const driver of ["packed", "overlay"]) {
	imported(driver)();
	const layers = at("lamella/layers");
	const kib = Number(run("du", ["-sk", layers]).stdout.split("\t")[0]);
	const inodes = run("find", [layers, "-type", "f"]).stdout.split("\n").length - 1;
	console.log(
		`Disk (${driver}): ${((kib * 1024) / tarBytes).toFixed(3)} of the tars' bytes, ${inodes} files`,
	);
}

const removals: Contestant[] = [
	{
		name: "rm -rf of the extracted layers",
		prepare: async () => {
			removed("tar")();
			await contestants[1]?.measure();
		},
		measure: () => {
			run("rm", ["-rf", at("tar")]);
			settle();
		},
	},
	...["packed", "overlay"].map((driver) => ({
		name: `lamella rmi (${driver})`,
		prepare: imported(driver),
		measure: () => {
			lamella("rmi", "bench:demo");
			settle();
		},
	})),
];
console.log(report("Removal", await alternate(removals, Math.min(3, Number(values.rounds)))));

const exported = at("exported");
const forget = (): void => {
	if (existsSync(exported)) rmSync(exported);
	settle();
};
for (const driver of ["packed", "overlay"]) {
	imported(driver)();
	const exports: Contestant[] = [
		{
			name: "cat of the plain layers",
			prepare: forget,
			measure: () => {
				run("sh", ["-c", `cat ${plain}/* > ${exported}`]);
				settle();
			},
		},
		{
			name: `lamella export (${driver})`,
			prepare: forget,
			measure: () => {
				lamella("export", "bench:demo", exported, "--compression", "none");
				settle();
			},
		},
	];
	console.log(report("Export, uncompressed", await alternate(exports, Number(values.rounds))));
}
