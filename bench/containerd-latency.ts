/**
 * Latency of a snapshotter's calls as containerd's clients see it, through containerd's own API: with lamella behind its
 * socket and with the built-in overlayfs, on one loop ext4 with a journal. Also, without containerd between, what
 * lamella's socket answers in.
 *
 * Twice: a turn of calls in a row, as when containers come and go; and each call after a pause, when on an idle machine
 * every process on the way has to wake up first.
 *
 *   node --import ./scripts/ts.mjs bench/containerd-latency.ts [--turns N] [--pause MS]
 */
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { Containerd } from "../test/support/containerd.ts";
import { makeFilesystem } from "../test/support/filesystems.ts";
import { LamellaSnapshotter, startContainerd } from "../test/support/lamella-snapshotter.ts";
import { SnapshotsClient } from "../test/support/snapshots-client.ts";
import { median } from "./alternate.ts";

const { values } = parseArgs({
	options: { turns: { type: "string", default: "10" }, pause: { type: "string", default: "100" } },
});
const turns = Number(values.turns);
const pauseMs = Number(values.pause);
/** Calls of a kind in a turn. */
const IN_A_ROW = 20;
const AFTER_A_PAUSE = 4;

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

async function timed(timings: Timings, call: string, work: () => Promise<unknown>): Promise<void> {
	const start = process.hrtime.bigint();
	await work();
	const ms = Number(process.hrtime.bigint() - start) / 1e6;
	timings[call] = [...(timings[call] ?? []), ms];
}

async function turn(
	timings: Timings,
	client: SnapshotsClient,
	{ names, count, rest }: { names: string; count: number; rest: () => Promise<void> },
): Promise<void> {
	for (let i = 0; i < count; i++) {
		const name = `${names}-${i}`;
		await rest();
		await timed(timings, "Prepare + Remove", async () => {
			await timed(timings, "Prepare", () => client.prepare(`bench-${name}`, "base", KEPT));
			await timed(timings, "Remove", () => client.remove(`bench-${name}`));
		});
		await client.prepare(`commit-${name}`, "base", KEPT);
		await rest();
		await timed(timings, "Commit", () => client.commit(`committed-${name}`, `commit-${name}`, KEPT));
		await rest();
		await timed(timings, "Stat", () => client.stat(`committed-${name}`));
		await rest();
		await timed(timings, "Remove of a committed", () => client.remove(`committed-${name}`));
	}
}

const all = [...contestants, direct];
for (const { client } of all) {
	await client.prepare("base-key", "", KEPT);
	await client.commit("base", "base-key", KEPT);
}
async function compare(
	title: string,
	{ mode, count, rest }: { mode: string; count: number; rest: () => Promise<void> },
): Promise<void> {
	const timings = new Map<string, Timings>(all.map(({ name }) => [name, {}]));
	for (let n = 0; n < turns; n++) {
		// The order turns around each time, so that nobody always runs after the same neighbour.
		for (const { name, client } of n % 2 === 0 ? all : [...all].reverse()) {
			await turn(timings.get(name) ?? {}, client, { names: `${mode}-${n}`, count, rest });
		}
	}
	console.log(`${title}: ${turns} turns of ${count}, medians in ms (90th percentile), ratio to overlayfs`);
	const [first] = contestants;
	for (const call of ["Prepare + Remove", "Prepare", "Remove", "Commit", "Remove of a committed", "Stat"]) {
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
}

await compare("In a row", { mode: "row", count: IN_A_ROW, rest: async () => undefined });
await compare(`Each after ${pauseMs} ms`, {
	mode: "pause",
	count: AFTER_A_PAUSE,
	rest: () => sleep(pauseMs),
});
for (const { client } of all) client.close();
