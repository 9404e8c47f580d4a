/**
 * Pull of an image (gzip) from a docker-registry on loopback by `lamella pull`, against `lamella import` of the same image as an
 * OCI archive, `docker pull` (dockerd -s overlay2), `ctr images pull` (containerd's overlayfs), and `skopeo copy` to an OCI
 * layout with `umoci unpack`, each on the same loop ext4 with a journal, taking turns, from an empty store each time; then a
 * pull where all layers but the top one are here, and the most memory that a pull takes.
 *
 *   node --import ./scripts/ts.mjs bench/pull.ts [--image small|full|files|large] [--rounds N] [--no-docker] [--no-containerd] [--no-umoci]
 */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { benchImage } from "../test/support/bench-images.ts";
import { Containerd } from "../test/support/containerd.ts";
import { debianImage } from "../test/support/debian-image.ts";
import { Dockerd } from "../test/support/dockerd.ts";
import { makeFilesystem } from "../test/support/filesystems.ts";
import { run, runAsync } from "../test/support/processes.ts";
import { DockerRegistry } from "../test/support/registry/docker-registry.ts";
import { publishWithoutTopLayer } from "../test/support/registry/images.ts";
import { alternate, type Contestant, median, report } from "./alternate.ts";

const { values } = parseArgs({
	options: {
		image: { type: "string", default: "full" },
		rounds: { type: "string", default: "5" },
		docker: { type: "boolean", default: true },
		containerd: { type: "boolean", default: true },
		umoci: { type: "boolean", default: true },
	},
	allowNegative: true,
});
const rounds = Number(values.rounds);

using filesystem = makeFilesystem("ext4", 40 * 2 ** 30);
const at = (name: string): string => path.join(filesystem.path, name);
const settle = (): void => {
	run("sync", ["-f", filesystem.path]);
};
const removed = (...names: string[]): void => {
	for (const name of names) rmSync(at(name), { recursive: true, force: true });
	settle();
};

const archive = await archiveOf(values.image);
await using registry = await DockerRegistry.start();
const reference = `${registry.host}/bench/image:demo`;
const below = `${registry.host}/bench/image:below`;
const plain = ["--src-tls-verify=false", "--dest-tls-verify=false"];
const copied = ["copy", "--quiet", ...plain, `oci-archive:${archive}`, `docker://${reference}`];
await runAsync("skopeo", ["--insecure-policy", ...copied]);
const layers = await publishWithoutTopLayer(registry.origin, "bench/image", { of: "demo", as: "below" });

async function archiveOf(name: string): Promise<string> {
	if (name === "files" || name === "large") return (await benchImage(name)).archive;
	return (await debianImage(name === "small" ? "small" : "full")).ociArchiveGzip;
}

interface Cost {
	readonly cpuMs: number;
	readonly peakMiB: number;
}
const costs = new Map<string, Cost[]>();

/** Runs the command and keeps what it took: processor time, and the most memory that it had resident. */
async function lamella(what: string, ...args: string[]): Promise<void> {
	const cli = path.resolve(import.meta.dirname, "../dist/bin/lamella.js");
	const cpuBefore = cpuOfChildrenMs();
	const child = spawn(process.execPath, [cli, "--root", at("lamella"), "--quiet", ...args], {
		stdio: ["ignore", "ignore", "inherit"],
	});
	let peakMiB = 0;
	const look = setInterval(() => {
		peakMiB = Math.max(peakMiB, peakOf(child.pid));
	}, 20);
	const code = await new Promise<number | null>((resolve, reject) => {
		child.on("error", reject).on("exit", resolve);
	});
	clearInterval(look);
	if (code !== 0) throw new Error(`lamella ${args.join(" ")} ended with ${code}`);
	const kept = costs.get(what) ?? [];
	costs.set(what, kept);
	kept.push({ cpuMs: cpuOfChildrenMs() - cpuBefore, peakMiB });
}

/** Of all children that have ended. */
function cpuOfChildrenMs(): number {
	const fields = readFileSync("/proc/self/stat", "utf8")
		.replace(/^.*\) /, "")
		.split(" ");
	// cutime and cstime, in hundredths of a second.
	return (Number(fields[13]) + Number(fields[14])) * 10;
}

function peakOf(pid: number | undefined): number {
	try {
		const [, kib] = /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
		return Number(kib ?? 0) / 1024;
	} catch {
		// It has ended.
		return 0;
	}
}

function reportCosts(): string {
	const lines = [...costs].map(([what, kept]) => {
		const cpuMs = median(kept.map((cost) => cost.cpuMs));
		const peakMiB = Math.max(...kept.map((cost) => cost.peakMiB));
		return `  ${what.padEnd(40)} ${cpuMs.toFixed(0).padStart(6)} ms CPU   ${peakMiB.toFixed(0).padStart(4)} MiB at most`;
	});
	return ["What the commands took", ...lines].join("\n");
}

const contestants: Contestant[] = [
	{
		name: "lamella import (OCI archive, gzip)",
		prepare: () => removed("lamella"),
		measure: () => lamella("import", "import", archive, "--name", "bench:demo"),
	},
	{
		name: "lamella pull",
		prepare: () => removed("lamella"),
		measure: () => lamella("pull", "pull", reference),
	},
];
await using dockerd = values.docker
	? await Dockerd.start({ driver: "overlay2", home: at("docker") })
	: undefined;
if (dockerd !== undefined) {
	contestants.push({
		name: "docker pull (overlay2)",
		prepare: async () => {
			await dockerd.tryDocker("rmi", "-f", reference);
			settle();
		},
		measure: async () => {
			await dockerd.dockerAsync("pull", "-q", reference);
		},
	});
}
mkdirSync(at("containerd"));
await using containerd = values.containerd ? await Containerd.start(at("containerd"), {}) : undefined;
if (containerd !== undefined) {
	contestants.push({
		name: "ctr images pull (overlayfs)",
		prepare: async () => {
			await containerd.tryCtr("images", "rm", "--sync", reference);
			settle();
		},
		measure: async () => {
			await containerd.ctr("images", "pull", "--plain-http", "--snapshotter", "overlayfs", reference);
			settle();
		},
	});
}
if (values.umoci) {
	contestants.push({
		name: "skopeo copy to a layout, umoci unpack",
		prepare: () => removed("layout", "bundle"),
		measure: async () => {
			const copy = ["copy", "--quiet", ...plain, `docker://${reference}`, `oci:${at("layout")}:demo`];
			await runAsync("skopeo", ["--insecure-policy", ...copy]);
			await runAsync("umoci", ["unpack", "--image", `${at("layout")}:demo`, at("bundle")]);
			settle();
		},
	});
}
console.log(report(`Pull (${values.image})`, await alternate(contestants, rounds)));

if (layers > 1) {
	const top: Contestant[] = [
		{
			name: "lamella pull, from nothing",
			prepare: () => removed("lamella"),
			measure: () => lamella("pull", "pull", reference),
		},
		{
			name: `lamella pull, ${layers - 1} of ${layers} layers here`,
			prepare: async () => {
				removed("lamella");
				await lamella("(of what is below)", "pull", below);
				settle();
			},
			measure: () => lamella("pull, the top layer is missing", "pull", reference),
		},
		{
			name: "lamella pull, the tag has not moved",
			prepare: () => lamella("(of what is here)", "pull", reference),
			measure: () => lamella("pull, the tag has not moved", "pull", reference),
		},
	];
	console.log(report("Pull of what is partly here", await alternate(top, rounds)));
}
console.log(reportCosts());
