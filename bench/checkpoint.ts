/**
 * Checkpoints by the library, durable, on a loop ext4 with a journal: of uppers of several sizes, against the bare system calls over the same ones;
 * rollback and fork; a long line of them. Then the same by others: `cp -a`, `cp --reflink` on xfs, a btrfs snapshot,
 * `docker commit`, `podman commit` (where they are there).
 *
 *   node --import ./scripts/ts.mjs bench/checkpoint.ts [--rounds N] [--many FILES] [--large MIB] [--line N] [--no-docker] [--no-podman]
 */
import { spawnSync } from "node:child_process";
import {
	closeSync,
	fsyncSync,
	mkdirSync,
	openSync,
	readFileSync,
	rmSync,
	statSync,
	writeFileSync,
	writeSync,
} from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { openStore, type Store } from "../src/index.ts";
import * as linux from "../src/linux/index.ts";
import { debianImage } from "../test/support/debian-image.ts";
import { Dockerd } from "../test/support/dockerd.ts";
import { makeFilesystem } from "../test/support/filesystems.ts";
import { run } from "../test/support/processes.ts";
import { median } from "./alternate.ts";

const { values } = parseArgs({
	options: {
		rounds: { type: "string", default: "20" },
		many: { type: "string", default: "100000" },
		large: { type: "string", default: "10240" },
		line: { type: "string", default: "10000" },
		docker: { type: "boolean", default: true },
		podman: { type: "boolean", default: true },
	},
	allowNegative: true,
});
const rounds = Number(values.rounds);
const FILES_IN_BASE = 1000;

function line(what: string, times: readonly number[]): void {
	const sorted = times.toSorted((a, b) => a - b);
	const p95 = sorted[Math.floor(sorted.length * 0.95)] ?? Number.NaN;
	console.log(`  ${what.padEnd(44)} ${median(times).toFixed(2).padStart(9)} ms   p95 ${p95.toFixed(2)} ms`);
}

async function timed(work: () => unknown): Promise<number> {
	const start = process.hrtime.bigint();
	await work();
	return Number(process.hrtime.bigint() - start) / 1e6;
}

async function repeated(count: number, work: (round: number) => Promise<number>): Promise<number[]> {
	const times: number[] = [];
	for (let round = 0; round < count; round++) times.push(await work(round));
	return times;
}

function makeFiles(directory: string, count: number): void {
	mkdirSync(directory, { recursive: true });
	for (let i = 0; i < count; i++) writeFileSync(path.join(directory, `file${i}`), `content ${i}\n`);
}

function makeLarge(file: string, mib: number): void {
	const fd = openSync(file, "w");
	const block = Buffer.alloc(1 << 20, "large ");
	for (let i = 0; i < mib; i++) writeSync(fd, block);
	closeSync(fd);
}

async function makeBase(store: Store): Promise<void> {
	await store.create("making");
	{
		await using mount = await store.mount("making");
		makeFiles(path.join(mount.path, "base"), FILES_IN_BASE);
	}
	await store.layerStore.commit(store.layer("making").id, "base" as never);
}

/** Puts into a tree what its upper is to have. */
type Fill = (tree: string) => void;

/** The calls that a checkpoint cannot do without, once, on directories beside the store's, over the same upper. */
function bareCalls(directory: string, fill: Fill, flushBefore: boolean): number {
	const at = (name: string): string => path.join(directory, name);
	for (const name of ["lower", "upper-0", "work-0", "merged"]) mkdirSync(at(name), { recursive: true });
	const mountOf = (round: number, lowers: readonly string[]): number => {
		const context = linux.fsopen("overlay");
		for (const lower of lowers) linux.fsconfigString(context, "lowerdir+", lower);
		linux.fsconfigString(context, "upperdir", at(`upper-${round}`));
		linux.fsconfigString(context, "workdir", at(`work-${round}`));
		linux.fsconfigCreate(context);
		const fd = linux.fsmount(context);
		linux.close(context);
		return fd;
	};
	const put = (fd: number, flags: number): void => {
		const all = linux.MOVE_MOUNT_F_EMPTY_PATH | flags;
		linux.moveMount(fd, "", linux.AT_FDCWD, at("merged"), all);
		linux.close(fd);
	};
	put(mountOf(0, [at("lower")]), 0);
	fill(at("merged"));
	if (flushBefore) run("sync", ["-f", directory]);
	const start = process.hrtime.bigint();
	for (const name of ["upper-1", "work-1"]) mkdirSync(at(name));
	linux.mount(null, at("merged"), null, linux.MS_REMOUNT | linux.MS_RDONLY);
	put(mountOf(1, [at("upper-0"), at("lower")]), linux.MOVE_MOUNT_BENEATH);
	linux.umount2(at("merged"), linux.MNT_DETACH);
	const fd = openSync(directory, "r");
	fsyncSync(fd);
	closeSync(fd);
	const timeMs = Number(process.hrtime.bigint() - start) / 1e6;
	linux.umount2(at("merged"), linux.MNT_DETACH);
	rmSync(directory, { recursive: true });
	return timeMs;
}

/** The flush of what was just written is part of a checkpoint and of the bare calls, so each upper is shown for both. */
async function ofUppers(store: Store, where: string): Promise<void> {
	console.log(`Checkpoint of a mounted layer, ${FILES_IN_BASE} files in the base`);
	const cases: readonly (readonly [string, number, Fill])[] = [
		["10 files", rounds, (tree) => makeFiles(path.join(tree, "few"), 10)],
		[`${values.many} files`, 3, (tree) => makeFiles(path.join(tree, "many"), Number(values.many))],
		[`${values.large} MiB`, 3, (tree) => makeLarge(path.join(tree, "large"), Number(values.large))],
	];
	for (const [what, count, fill] of cases) {
		for (const flushBefore of [false, true]) {
			const bare: number[] = [];
			const ours: number[] = [];
			// By turns, so that both see the same machine.
			for (let round = 0; round < count; round++) {
				bare.push(bareCalls(path.join(where, "bare"), fill, flushBefore));
				run("sync", ["-f", where]);
				ours.push(await checkpointOf(store, where, fill, flushBefore));
			}
			const state = flushBefore ? "flushed before" : "just written";
			line(`${what}, ${state}: bare system calls`, bare);
			line(`${what}, ${state}: checkpoint`, ours);
		}
	}
}

async function checkpointOf(store: Store, where: string, fill: Fill, flushBefore: boolean): Promise<number> {
	await store.create("upper", { from: "base" });
	const mount = await store.mount("upper");
	fill(mount.path);
	if (flushBefore) run("sync", ["-f", where]);
	const timeMs = await timed(() => store.checkpoint("upper"));
	await mount.unmount();
	await store.remove("upper");
	await store.cleanup();
	run("sync", ["-f", where]);
	return timeMs;
}

async function backAndForth(store: Store): Promise<void> {
	console.log("Rollback and fork of a mounted layer");
	await store.create("back", { from: "base" });
	const mount = await store.mount("back");
	await store.checkpoint("back");
	const edit = (round: number): void => writeFileSync(path.join(mount.path, "edited"), String(round));
	const rollback = async (round: number): Promise<number> => {
		edit(round);
		return await timed(() => store.rollback("back"));
	};
	line("rollback", await repeated(rounds, rollback));
	line(
		"fork of what is unchanged",
		await repeated(rounds, (round) => timed(() => store.fork("back", [`one-${round}`]))),
	);
	const names = Array.from({ length: 100 }, (_, i) => `many-${i}`);
	line("fork --count 100", [await timed(() => store.fork("back", names))]);
	await mount.unmount();
	for (const { id } of store.layers().filter((layer) => layer.kind === "active")) await store.remove(id);
	await store.cleanup();
}

function statAll(tree: string): number {
	const start = process.hrtime.bigint();
	for (let i = 0; i < FILES_IN_BASE; i++) statSync(path.join(tree, "base", `file${i}`));
	return Number(process.hrtime.bigint() - start) / 1e6;
}

async function longLine(store: Store): Promise<void> {
	const count = Number(values.line);
	console.log(`${count} checkpoints in a row, a file changed before each`);
	await store.create("plain", { from: "base" });
	await store.create("line", { from: "base" });
	const times: number[] = [];
	{
		await using mount = await store.mount("line");
		for (let i = 0; i < count; i++) {
			writeFileSync(path.join(mount.path, "base", `file${i % FILES_IN_BASE}`), String(i));
			times.push(await timed(() => store.checkpoint("line")));
		}
	}
	const part = Math.min(100, Math.ceil(count / 4));
	line(`the first ${part}`, times.slice(0, part));
	line(`the last ${part}`, times.slice(-part));
	for (const name of ["plain", "line"]) {
		// Mounted anew, so that nothing is known of it.
		const stats = await repeated(5, async () => {
			await using mount = await store.mount(name);
			return statAll(mount.path);
		});
		line(`stat of ${FILES_IN_BASE} files in ${name === "line" ? "the last one" : "a plain layer"}`, stats);
	}
	line("history", [await timed(() => store.history("line"))]);
	line("remove with all checkpoints", [await timed(() => store.remove("line"))]);
	await store.remove("plain");
	await store.cleanup();
}

async function byCopies(where: string): Promise<void> {
	console.log("The same by copies and snapshots of a tree with 1,000 files and 10 changed ones, flushed");
	for (const [what, type, copy] of [
		["cp -a (ext4)", "ext4", ["cp", "-a"]],
		["cp -a --reflink=always (xfs)", "xfs", ["cp", "-a", "--reflink=always"]],
		["btrfs subvolume snapshot", "btrfs", ["btrfs", "subvolume", "snapshot"]],
	] as const) {
		using filesystem = makeFilesystem(type, 2 * 2 ** 30);
		const tree = path.join(filesystem.path, "tree");
		if (type === "btrfs") run("btrfs", ["subvolume", "create", tree]);
		makeFiles(path.join(tree, "base"), FILES_IN_BASE);
		makeFiles(path.join(tree, "few"), 10);
		run("sync", ["-f", filesystem.path]);
		const [command, ...options] = copy;
		const times = await repeated(rounds, (round) =>
			timed(() => {
				run(command, [...options, tree, path.join(filesystem.path, `copy-${round}`)]);
				run("sync", ["-f", filesystem.path]);
			}),
		);
		line(what, times);
	}
	console.log(
		`  (each starts two processes; \`true\` twice takes ${await timed(() => [run("true", []), run("true", [])])} ms)`,
	);
	if (values.docker) await byDocker(where);
	if (values.podman && spawnSync("podman", ["--version"]).status === 0) await byPodman(where);
}

async function byDocker(where: string): Promise<void> {
	const image = await debianImage("small");
	await using dockerd = await Dockerd.start({ driver: "overlay2", home: path.join(where, "docker") });
	dockerd.docker("load", "-q", "-i", image.dockerArchive);
	const fill = "for i in 0 1 2 3 4 5 6 7 8 9; do echo $i > /srv/$i; done";
	dockerd.docker("run", "--network", "none", "--name", "changed", image.reference, "sh", "-c", fill);
	const commit = (round: number): unknown => dockerd.docker("commit", "changed", `changed:${round}`);
	line("docker commit", await repeated(5, (round) => timed(() => commit(round))));
}

async function byPodman(where: string): Promise<void> {
	const image = await debianImage("small");
	const storage = ["--root", path.join(where, "podman"), "--runroot", path.join(where, "podman-run")];
	const podman = (...words: string[]): string => run("podman", [...storage, ...words]).stdout;
	podman("load", "-i", image.dockerArchive);
	podman("create", "--name", "c", image.reference, "true");
	const tree = podman("mount", "c").trim();
	makeFiles(path.join(tree, "srv"), 10);
	line("podman commit", await repeated(5, (round) => timed(() => podman("commit", "c", `c:${round}`))));
	podman("unmount", "c");
}

console.log(readFileSync("/proc/version", "utf8").split(" ").slice(0, 3).join(" "));
{
	using filesystem = makeFilesystem("ext4", 48 * 2 ** 30);
	await using store = await openStore({ root: path.join(filesystem.path, "lamella"), driver: "overlay" });
	await makeBase(store);
	await ofUppers(store, filesystem.path);
	await backAndForth(store);
	await longLine(store);
}
{
	using filesystem = makeFilesystem("ext4", 8 * 2 ** 30);
	await byCopies(filesystem.path);
}
