/**
 * One script run with `--snapshotter lamella` and with containerd's own overlayfs, compared output by output; bursts; and
 * a snapshotter that is killed again and again.
 */
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import path from "node:path";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Containerd } from "../../support/containerd.ts";
import { makeFilesystem, type TestFilesystem } from "../../support/filesystems.ts";
import { LamellaSnapshotter, startContainerd } from "../../support/lamella-snapshotter.ts";
import { makeLayeredImage } from "../../support/layered-image.ts";
import { until } from "../../support/processes.ts";
import { SnapshotsClient } from "../../support/snapshots-client.ts";

const LONG = process.env.LAMELLA_TEST_LONG === "1";
const IMAGES = [
	{ layers: 1, compression: "gzip" },
	{ layers: 4, compression: "zstd" },
	{ layers: 20, compression: "gzip" },
] as const;

let filesystem: TestFilesystem;
let lamella: LamellaSnapshotter;
let containerd: Containerd;
const at = (name: string): string => path.join(filesystem.path, name);
const imageName = (layers: number): string => `docker.io/library/demo:${layers}`;

beforeAll(async () => {
	filesystem = makeFilesystem("ext4", 8 * 2 ** 30);
	mkdirSync(at("images"));
	for (const { layers, compression } of IMAGES) {
		makeLayeredImage(at(`images/${layers}.tar`), { layers, compression, name: imageName(layers) });
	}
	lamella = await LamellaSnapshotter.start(at("lamella"));
	containerd = await startContainerd(at("containerd"), lamella);
});
afterAll(async () => {
	await containerd?.[Symbol.asyncDispose]();
	await lamella?.[Symbol.asyncDispose]();
	filesystem?.[Symbol.dispose]();
});

const ctr = (...args: string[]): Promise<string> => containerd.ctr(...args);
/** Output, or how it failed: both are compared. */
const tried = async (...args: string[]): Promise<string> => {
	const { code, stdout, stderr } = await containerd.tryCtr(...args);
	return `${code}\n${stdout}\n${stderr}`;
};

/** containerd takes its time to connect again to a snapshotter that was away. */
async function answered<R>(call: () => Promise<R>): Promise<R> {
	const end = Date.now() + 60_000;
	for (;;) {
		try {
			return await call();
		} catch (error) {
			if ((error as { code?: status }).code !== status.UNAVAILABLE || Date.now() > end) throw error;
			await new Promise((resolve) => setTimeout(resolve, 50));
		}
	}
}

/** What a person sees of a snapshotter, step by step, in a namespace of its own. */
async function script(snapshotter: string): Promise<string[]> {
	const out: string[] = [];
	const namespace = ["-n", `script-${snapshotter}`];
	const own = ["--snapshotter", snapshotter];
	const say = (step: string, text: string): void => {
		// Times, ids of namespaces and the snapshotter's own name differ.
		const plain = text
			.replace(/time="[^"]*" ?/g, "")
			.replace(/containerd\.io\/gc\.root(=|": ")[-\d:TZ]+/g, "containerd.io/gc.root$1")
			.replace(/elapsed:? *[\d.]+ ?m?s/g, "elapsed")
			.replace(/"(Created|Updated)": "[^"]*"/g, '"$1": ""')
			.replaceAll(filesystem.path, "HOME")
			.replaceAll(snapshotter, "SNAPSHOTTER");
		out.push(`== ${step}\n${plain}`);
	};
	const c = (...args: string[]): Promise<string> => ctr(...namespace, ...args);
	const t = (...args: string[]): Promise<string> => tried(...namespace, ...args);
	const snapshots = (...args: string[]): Promise<string> => t("snapshots", ...own, ...args);
	for (const { layers } of IMAGES) {
		say(`import ${layers}`, await c("images", "import", ...own, at(`images/${layers}.tar`)));
	}
	say("tree", await snapshots("tree"));
	say("ls", await snapshots("ls"));
	say("usage", await snapshots("usage"));
	const shell =
		"ls -lnR /data /remade | sed 's/[A-Z][a-z][a-z] .*:.. //'; cat /data/top; echo new > /etc/new; rm /data/top; stat -c %a%u%g /";
	say("run", await c("run", "--rm", ...own, imageName(20), "one", "/bin/sh", "-c", shell));
	await c("run", "-d", ...own, imageName(4), "two", "/bin/sh", "-c", "while true; do sleep 1; done");
	const inside = (id: string, script: string): Promise<string> =>
		c("tasks", "exec", "--exec-id", id, "two", "/bin/sh", "-c", script);
	say("exec", await inside("e1", "echo kept > /kept; ls /; id"));
	const plain = ["--media-type", "application/vnd.oci.image.layer.v1.tar"];
	say("diff", (await snapshots("diff", ...plain, "two")).slice(0, 1));
	say("info two", await snapshots("info", "two"));
	await t("tasks", "kill", "-s", "SIGKILL", "two");
	await until("the task's end", async () => (await c("tasks", "ls")).includes("STOPPED"));
	await c("tasks", "rm", "two");
	await c("tasks", "start", "-d", "two");
	say("restarted", await inside("e2", "cat /kept"));
	await c("tasks", "rm", "-f", "two");
	await c("containers", "rm", "two");
	const top = (await snapshots("ls")).split("\n").map((line) => line.split(/\s+/)[0] ?? "");
	const parent = top.find((key) => key.startsWith("sha256:")) ?? "";
	say("prepare", (await snapshots("prepare", "active one", parent)).slice(0, 2));
	say("prepare again", await snapshots("prepare", "active one", parent));
	say("prepare on nothing", await snapshots("prepare", "k", "missing"));
	// Garbage collection may take it at any time, for ctr gives it no label.
	say("view", (await snapshots("view", "a view", parent)).slice(0, 2));
	// ctr prints labels in the order of a Go map, which is another each time.
	const labelled = (await snapshots("label", "active one", "color=blue")).trim().split(/[\n,]/);
	say("label", labelled.sort().join("\n"));
	say("unlabel", await snapshots("label", "active one", "color="));
	say("info", await snapshots("info", "active one"));
	say("info missing", await snapshots("info", "missing"));
	say("commit", await snapshots("commit", "a name", "active one"));
	say("commit again", await snapshots("commit", "a name", "active one"));
	say("rm parent", await snapshots("rm", parent));
	say("rm", await snapshots("rm", "a name"));
	say("rm again", await snapshots("rm", "a name"));
	const target = at(`mnt-${snapshotter}`);
	mkdirSync(target, { recursive: true });
	const hidden = (text: string): string => text.replaceAll(`mnt-${snapshotter}`, "MNT");
	say("mount", hidden(await t("images", "mount", ...own, imageName(4), target)));
	say("mounted", readdirSync(target).join(" "));
	say("unmount", hidden(await t("images", "unmount", ...own, "--rm", target)));
	say("check", await t("images", "check", ...own, "-q"));
	for (const { layers } of IMAGES) say(`rmi ${layers}`, await c("images", "rm", "--sync", imageName(layers)));
	await until("garbage collection", async () => !(await snapshots("ls")).includes("sha256:"));
	say("empty", await snapshots("ls"));
	return out;
}

describe("containerd", () => {
	test("sees of lamella what it sees of overlayfs, output by output", async () => {
		const theirs = await script("overlayfs");
		const ours = await script("lamella");
		expect(ours).toEqual(theirs);
		using direct = new SnapshotsClient(lamella.socket);
		await until("the snapshots' removal", async () => (await direct.list()).length === 0);
		await direct.cleanup();
		expect(readdirSync(path.join(lamella.root, "layers"))).toEqual([]);
		expect(readdirSync(path.join(lamella.root, "trash"))).toEqual([]);
	});

	test("imports twelve images and runs a hundred containers in bursts", async () => {
		const images = LONG ? 12 : 4;
		const containers = LONG ? 100 : 12;
		const names = Array.from({ length: images }, (_, i) => `docker.io/library/burst:${i}`);
		for (const [i, name] of names.entries()) {
			makeLayeredImage(at(`images/burst-${i}.tar`), { layers: 3, name, salt: name });
		}
		const n = ["-n", "burst"];
		await Promise.all(
			names.map((_, i) =>
				ctr(...n, "images", "import", "--snapshotter", "lamella", at(`images/burst-${i}.tar`)),
			),
		);
		const results = await Promise.all(
			Array.from({ length: containers }, (_, i) => {
				const image = names[i % images] ?? "";
				const script = ["/bin/sh", "-c", `echo ${i} > /n; cat /n`];
				return ctr(...n, "run", "--rm", "--snapshotter", "lamella", image, `b${i}`, ...script);
			}),
		);
		expect(results.map((text) => text.trim())).toEqual(results.map((_, i) => String(i)));
		for (const name of names) await ctr(...n, "images", "rm", "--sync", name);
		using direct = new SnapshotsClient(lamella.socket);
		await until("the snapshots' removal", async () => (await direct.list()).length === 0);
	});

	test("loses nothing committed when the snapshotter is killed, and goes on", async () => {
		const rounds = LONG ? 50 : 5;
		const kept = { "containerd.io/gc.root": "kept" };
		using client = new SnapshotsClient(containerd.address, { namespace: "kill" });
		const committed: string[] = [];
		const asked: string[] = [];
		let parent = "";
		for (let round = 0; round < rounds; round++) {
			let over = false;
			const work = async (worker: number): Promise<void> => {
				for (let i = 0; !over; i++) {
					const key = `k ${round}/${worker}/${i}`;
					asked.push(key, `${key} done`);
					try {
						await client.prepare(key, parent, kept);
						if (i % 2 === 0) {
							await client.commit(`${key} done`, key, kept);
							committed.push(`${key} done`);
						} else {
							await client.remove(key);
						}
					} catch {
						// The snapshotter is dead or not yet back: what was not answered may or may not be.
						await new Promise((resolve) => setTimeout(resolve, 20));
					}
				}
			};
			const workers = [0, 1, 2].map(work);
			const before = committed.length;
			await until("a commit", async () => committed.length > before);
			// Each round at another moment of what is under way.
			await new Promise((resolve) => setTimeout(resolve, (round * 37) % 200));
			await lamella.restart("SIGKILL");
			over = true;
			await Promise.all(workers);
			for (const name of committed) expect((await answered(() => client.stat(name))).name).toBe(name);
			parent = committed.at(-1) ?? "";
		}
		expect(committed.length).toBeGreaterThanOrEqual(rounds);
		// A list leaves out what containerd has a record of and the snapshotter not: the key of a commit whose answer
		// was lost. It can be removed like the others.
		const remaining = new Set(asked);
		for (let pass = 0; remaining.size > 0 && pass < 500; pass++) {
			for (const name of remaining) {
				const gone = await client.remove(name).then(
					() => true,
					(error: { code?: status }) => error.code === status.NOT_FOUND,
				);
				if (gone) remaining.delete(name);
			}
		}
		expect([...remaining]).toEqual([]);
		using direct = new SnapshotsClient(lamella.socket);
		await ctr("-n", "kill", "content", "ls");
		await until("garbage collection", async () => {
			// A lease's end runs it.
			await ctr("-n", "kill", "leases", "create", "--id", `gc${Date.now()}`, "--expires", "1s");
			return (await direct.list()).length === 0;
		});
		await direct.cleanup();
		expect(readdirSync(path.join(lamella.root, "layers"))).toEqual([]);
		expect(existsSync(lamella.socket)).toBe(true);
	});
});
