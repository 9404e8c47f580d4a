/**
 * A container's life by the library, on an image that is imported: create, mount, unmount, remove; then after three
 * small changes `changes` and `diff`, against `tar -c` of the upper and, where Debian's docker is there, `docker diff`
 * and `docker export` of a container with the same changes (dockerd -s overlay2). On one loop ext4 with a journal.
 *
 *   node --import ./scripts/ts.mjs bench/container.ts [--image small|full] [--rounds N] [--no-docker]
 */
import { appendFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import { openStore } from "../src/index.ts";
import { debianImage } from "../test/support/debian-image.ts";
import { Dockerd } from "../test/support/dockerd.ts";
import { makeFilesystem } from "../test/support/filesystems.ts";
import { run } from "../test/support/processes.ts";
import { alternate, type Contestant, median, report } from "./alternate.ts";

const { values } = parseArgs({
	options: {
		image: { type: "string", default: "full" },
		rounds: { type: "string", default: "5" },
		docker: { type: "boolean", default: true },
	},
	allowNegative: true,
});
const rounds = Number(values.rounds);
const image = await debianImage(values.image === "small" ? "small" : "full");

using filesystem = makeFilesystem("ext4", 24 * 2 ** 30);
await using store = await openStore({ root: path.join(filesystem.path, "lamella") });
await store.importImage(image.dockerArchive, { name: "debian:demo" });
run("sync", ["-f", filesystem.path]);

const steps = new Map<string, number[]>();
async function timed<T>(step: string, work: () => Promise<T>): Promise<T> {
	const start = process.hrtime.bigint();
	try {
		return await work();
	} finally {
		const times = steps.get(step) ?? [];
		times.push(Number(process.hrtime.bigint() - start) / 1e6);
		steps.set(step, times);
	}
}

for (let turn = 0; turn < rounds * 10; turn += 1) {
	const name = `bench-${turn}`;
	await timed("create and mount", async () => {
		await timed("create", () => store.create(name, { from: "debian:demo" }));
		await timed("mount", () => store.mount(name));
	});
	await timed("unmount", () => store.unmount(name));
	await timed("remove", () => store.remove(name));
}
console.log(`A container of ${image.reference} (${values.image}), ${rounds * 10} times`);
for (const [step, times] of steps) {
	const sorted = times.toSorted((a, b) => a - b);
	const p95 = sorted[Math.floor(sorted.length * 0.95)] ?? Number.NaN;
	console.log(`  ${step.padEnd(20)} ${median(times).toFixed(2).padStart(8)} ms   p95 ${p95.toFixed(2)} ms`);
}

/** An edit, a new file, a removal. */
function change(root: string): void {
	appendFileSync(path.join(root, "etc/hostname-of-bench"), "new\n");
	appendFileSync(path.join(root, "etc/passwd"), "bench:x:4242:4242::/:/bin/false\n");
	rmSync(path.join(root, "etc/debian_version"));
}

const nowhere = (): Writable => new Writable({ write: (_chunk, _encoding, done) => done() });
await store.create("changed", { from: "debian:demo" });
const mount = await store.mount("changed");
change(mount.path);
const found = store.inspect("changed");
if (found.type !== "layer") throw new Error("the layer has become an image");
const upper = path.join(found.layer.directory, "diff");

const contestants: Contestant[] = [
	{
		name: "lamella changes (library)",
		measure: async () => {
			await store.changes("changed");
		},
	},
	{
		name: "lamella diff (library)",
		measure: async () => {
			await pipeline(store.diff("changed"), nowhere());
		},
	},
	{
		name: "tar -c of the upper",
		measure: () => {
			run("tar", ["-C", upper, "-cf", "/dev/null", "--xattrs", "."]);
		},
	},
];

await using dockerd = values.docker
	? await Dockerd.start({ driver: "overlay2", home: path.join(filesystem.path, "docker") })
	: undefined;
if (dockerd !== undefined) {
	dockerd.docker("load", "-q", "-i", image.dockerArchive);
	const script =
		"echo new >/etc/hostname-of-bench; echo bench:x:4242:4242::/:/bin/false >>/etc/passwd; rm /etc/debian_version";
	dockerd.docker("run", "--network", "none", "--name", "changed", image.reference, "sh", "-c", script);
	const out = path.join(filesystem.path, "export.tar");
	writeFileSync(out, "");
	contestants.push(
		{
			name: "docker diff",
			measure: () => {
				dockerd.docker("diff", "changed");
			},
		},
		{
			name: "docker export",
			prepare: () => rmSync(out, { force: true }),
			measure: () => {
				dockerd.docker("export", "-o", out, "changed");
			},
		},
	);
}
console.log(report("After three small changes", await alternate(contestants, rounds)));
await mount.unmount();
