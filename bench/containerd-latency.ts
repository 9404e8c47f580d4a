/**
 * Latency of a snapshotter's calls as containerd's clients see it, through containerd's own API: with lamella behind its
 * socket and with the built-in overlayfs, on one loop ext4 with a journal. Also, without containerd between, what
 * lamella's socket answers in.
 *
 * Twice: a turn of calls in a row, as when containers come and go; and each call after a pause, when on an idle machine
 * every process on the way has to wake up first.
 *
 *   node --import ./scripts/ts.mjs bench/containerd-latency.ts [--turns N] [--pause MS] [--peer PROGRAM] [--flush-ms MS]
 *
 * `--peer` is bench/overlayfs-on-a-socket, built: the built-in overlayfs's own code as a process of its own. With
 * `--flush-ms` the disk is one whose flush takes so long, as real ones do (test/support/volatile-disk.ts).
 */
import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Containerd } from "../test/support/containerd.ts";
import { makeFilesystem, type TestFilesystem } from "../test/support/filesystems.ts";
import { LamellaSnapshotter } from "../test/support/lamella-snapshotter.ts";
import { Daemon } from "../test/support/processes.ts";
import { SnapshotsClient } from "../test/support/snapshots-client.ts";
import { VolatileDisk } from "../test/support/volatile-disk.ts";
import { median } from "./alternate.ts";

const { values } = parseArgs({
	options: {
		turns: { type: "string", default: "10" },
		pause: { type: "string", default: "100" },
		peer: { type: "string" },
		"flush-ms": { type: "string" },
	},
});
const turns = Number(values.turns);
const pauseMs = Number(values.pause);
/** Calls of a kind in a turn. */
const IN_A_ROW = 20;
const AFTER_A_PAUSE = 4;

const flushDelayMs = values["flush-ms"] === undefined ? undefined : Number(values["flush-ms"]);
await using filesystem =
	flushDelayMs === undefined
		? disposedLater(makeFilesystem("ext4", 8 * 2 ** 30))
		: await VolatileDisk.make("ext4", 8 * 2 ** 30, { flushDelayMs });
const at = (name: string): string => path.join(filesystem.path, name);
await using lamella = await LamellaSnapshotter.start(at("lamella"), ["--log-level", "warn"]);
const peerSocket = at("peer.sock");
await using peer = values.peer === undefined ? undefined : await startPeer(values.peer);
await using containerd: Containerd = await Containerd.start(at("containerd"), {
	lamella: lamella.socket,
	peer: peerSocket,
});

const contestants = ["overlayfs", ...(peer === undefined ? [] : ["peer"]), "lamella"].map((snapshotter) => ({
	name: snapshotter,
	client: new SnapshotsClient(containerd.address, { snapshotter }),
}));
// One of its own: containerd's garbage collection takes away what it does not know.
await using alone = await LamellaSnapshotter.start(at("alone"), ["--log-level", "warn"]);
const direct = { name: "lamella, its socket", client: new SnapshotsClient(alone.socket) };

/** Keeps containerd's garbage collection off. */
const KEPT = { "containerd.io/gc.root": "bench" };

async function startPeer(program: string): Promise<Daemon> {
	mkdirSync(at("peer"));
	const daemon = new Daemon(program, [at("peer/state"), peerSocket], { logFile: at("peer/log") });
	await daemon.until(() => existsSync(peerSocket));
	return daemon;
}

function disposedLater(made: TestFilesystem): { readonly path: string } & AsyncDisposable {
	return { path: made.path, [Symbol.asyncDispose]: () => Promise.resolve(made[Symbol.dispose]()) };
}

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
