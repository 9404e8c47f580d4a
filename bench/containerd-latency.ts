/**
 * Latency of a snapshotter's calls as containerd's clients see it: Prepare + Remove and Prepare + Commit through
 * containerd's own API, with lamella behind its socket and with the built-in overlayfs, taking turns on one loop ext4
 * with a journal. Also, without containerd between, what lamella's socket answers in.
 *
 *   node --import ./scripts/ts.mjs bench/containerd-latency.ts [--rounds N]
 */
import path from "node:path";
import { parseArgs } from "node:util";
import type { Containerd } from "../test/support/containerd.ts";
import { makeFilesystem } from "../test/support/filesystems.ts";
import { LamellaSnapshotter, startContainerd } from "../test/support/lamella-snapshotter.ts";
import { SnapshotsClient } from "../test/support/snapshots-client.ts";
import { median } from "./alternate.ts";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "200" } } });
const rounds = Number(values.rounds);

using filesystem = makeFilesystem("ext4", 8 * 2 ** 30);
const at = (name: string): string => path.join(filesystem.path, name);
await using lamella = await LamellaSnapshotter.start(at("lamella"), ["--log-level", "warn"]);
await using containerd: Containerd = await startContainerd(at("containerd"), lamella);

const contestants = ["overlayfs", "lamella"].map((snapshotter) => ({
	name: snapshotter,
	client: new SnapshotsClient(containerd.address, { snapshotter }),
}));
// One of its own: containerd's garbage collection takes away what it does not know.
await using alone = await LamellaSnapshotter.start(at("alone"), ["--log-level", "warn"]);
const direct = { name: "lamella, its socket", client: new SnapshotsClient(alone.socket) };

/** Keeps containerd's garbage collection off. */
const KEPT = { "containerd.io/gc.root": "bench" };

type Timings = Record<string, number[]>;
const timings = new Map<string, Timings>();

async function timed(name: string, call: string, work: () => Promise<unknown>): Promise<void> {
	const start = process.hrtime.bigint();
	await work();
	const ms = Number(process.hrtime.bigint() - start) / 1e6;
	const own = timings.get(name) ?? {};
	timings.set(name, own);
	own[call] = [...(own[call] ?? []), ms];
}

async function round(name: string, client: SnapshotsClient, n: number): Promise<void> {
	const both = async (): Promise<void> => {
		await timed(name, "Prepare", () => client.prepare(`bench-${n}`, "base", KEPT));
		await timed(name, "Remove", () => client.remove(`bench-${n}`));
	};
	await timed(name, "Prepare + Remove", both);
	await client.prepare(`commit-${n}`, "base", KEPT);
	// As between a Prepare and its Commit a layer is unpacked.
	await new Promise((resolve) => setTimeout(resolve, 100));
	await timed(name, "Commit", () => client.commit(`committed-${n}`, `commit-${n}`, KEPT));
	await timed(name, "Stat", () => client.stat(`committed-${n}`));
	await timed(name, "Remove of a committed", () => client.remove(`committed-${n}`));
}

const all = [...contestants, direct];
for (const { client } of all) {
	await client.prepare("base-key", "", KEPT);
	await client.commit("base", "base-key", KEPT);
}
for (let n = 0; n < rounds; n++) {
	// The order turns around each round, so that nobody always runs after the same neighbour.
	for (const { name, client } of n % 2 === 0 ? all : [...all].reverse()) await round(name, client, n);
}
const [first] = contestants;
console.log(`${rounds} rounds, medians in ms (90th percentile)`);
for (const call of ["Prepare", "Remove", "Prepare + Remove", "Commit", "Remove of a committed", "Stat"]) {
	console.log(call);
	const base = median(timings.get(first?.name ?? "")?.[call] ?? []);
	for (const { name } of all) {
		const runs = timings.get(name)?.[call] ?? [];
		const p90 = [...runs].sort((a, b) => a - b)[Math.floor(runs.length * 0.9)] ?? Number.NaN;
		console.log(
			`  ${name.padEnd(22)} ${median(runs).toFixed(2).padStart(7)}  (${p90.toFixed(2)})   ${(median(runs) / base).toFixed(2)}`,
		);
	}
}
for (const { client } of all) client.close();
