/** Ctrl-C, kill -9 and a full disk in the middle of a pull or a push: nothing is left over, and the next one goes on. */
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, statfsSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openStore } from "../../../src/index.ts";
import { makeFilesystem, mountsBelow, type TestFilesystem } from "../../support/filesystems.ts";
import { CLI, lamella, lamellaAsync, tryLamellaAsync } from "../../support/lamella.ts";
import { run, until } from "../../support/processes.ts";
import { DockerRegistry } from "../../support/registry/docker-registry.ts";
import { requests, silence, stallAfter } from "../../support/registry/faults.ts";
import { imageOf, publish, tarsOf } from "../../support/registry/images.ts";
import { MisbehavingProxy, type Rule } from "../../support/registry/misbehaving-proxy.ts";
import { importedTree, leftIn, type Tree, treeOfImage } from "../../support/registry/stores.ts";
import { expectSameTree } from "../../support/same-tree.ts";

const MIB = 1 << 20;
const KILLS = process.env.LAMELLA_TEST_LONG === undefined ? 6 : 40;

const image = imageOf(tarsOf(4, { bulkBytes: 12 * MIB }));
const bulk = image.blobs.at(-1)?.digest ?? "-";

let filesystem: TestFilesystem;
let registry: DockerRegistry;
let proxy: MisbehavingProxy;
/** Where pushes go: one that has no blob yet. */
let empty: DockerRegistry;
let emptyProxy: MisbehavingProxy;
let tree: Tree;
let stores = 0;
let root: string;

const at = (...names: string[]): string => path.join(filesystem.path, ...names);
const reference = (): string => `${proxy.host}/team/app:1`;

beforeAll(async () => {
	filesystem = makeFilesystem("ext4", 2 ** 30);
	registry = await DockerRegistry.start();
	await publish(registry.origin, "team/app", image, "1");
	proxy = await MisbehavingProxy.start(registry.origin);
	empty = await DockerRegistry.start();
	emptyProxy = await MisbehavingProxy.start(empty.origin);
	mkdirSync(at("import"));
	tree = await importedTree(at("import"), image);
});

afterAll(async () => {
	for (const server of [emptyProxy, empty, proxy, registry]) await server?.[Symbol.asyncDispose]();
	filesystem?.[Symbol.dispose]();
});

beforeEach(() => {
	stores += 1;
	root = at(`store-${stores}`);
	proxy.misbehave();
	emptyProxy.misbehave();
});

interface Ended {
	readonly code: number | null;
	readonly signal: NodeJS.Signals | null;
	readonly stderr: string;
}

/** Runs the command, and sends it the signal once `when` holds. */
async function signalled(
	args: readonly string[],
	signal: NodeJS.Signals,
	when: () => Promise<unknown>,
): Promise<Ended> {
	const child = spawn(process.execPath, [CLI, "--root", root, ...args], {
		stdio: ["ignore", "ignore", "pipe"],
	});
	let stderr = "";
	child.stderr.setEncoding("utf8").on("data", (text: string) => {
		stderr += text;
	});
	const ended = new Promise<Ended>((resolve, reject) => {
		child.on("error", reject).on("close", (code, by) => resolve({ code, signal: by, stderr }));
	});
	await Promise.race([when(), ended]);
	child.kill(signal);
	return await ended;
}

/** Has the proxy do that from now on; what is returned waits until it has done it. */
function stopping(rule: Omit<Rule, "times">, where = proxy): () => Promise<void> {
	let reached = false;
	const fault: Rule["fault"] = (exchange) => {
		reached = true;
		return rule.fault(exchange);
	};
	where.misbehave({ when: rule.when, fault });
	return () => until("the request that is stopped", () => reached);
}

/** The next pull goes on, and there is nothing but the image. */
async function expectPulled(): Promise<void> {
	proxy.misbehave();
	await lamellaAsync(root, ["pull", reference()]);
	expect(["staging", "trash"].flatMap((name) => readdirSync(path.join(root, name)))).toEqual([]);
	expect(readdirSync(path.join(root, "layers"))).toHaveLength(5);
	await using store = await openStore({ root });
	expectSameTree(await treeOfImage(store, reference()), tree);
}

const layerOf = requests(new RegExp(`^GET .*/blobs/${bulk}`));

describe("a pull", () => {
	test("that is interrupted leaves nothing", async () => {
		const started = stopping({ when: layerOf, fault: stallAfter(5 * MIB) });
		const { code, stderr } = await signalled(["pull", reference()], "SIGINT", started);
		expect(code, stderr).toBe(130);
		expect(leftIn(root)).toEqual([]);
		await expectPulled();
	});

	test("that is interrupted while it waits for an answer ends at once", async () => {
		const started = stopping({ when: requests(/^HEAD .*manifests/), fault: silence });
		const startMs = Date.now();
		const { code } = await signalled(["pull", reference()], "SIGINT", started);
		expect(code).toBe(130);
		expect(Date.now() - startMs).toBeLessThan(10_000);
	});

	test("that is killed is swept by the next one", async () => {
		const started = stopping({ when: layerOf, fault: stallAfter(5 * MIB) });
		expect((await signalled(["pull", reference()], "SIGKILL", started)).signal).toBe("SIGKILL");
		expect(lamella(root, "images", "-q")).toBe("");
		await expectPulled();
	});

	test(`that is killed at ${KILLS} random moments`, async () => {
		const startMs = Date.now();
		await lamellaAsync(root, ["pull", reference()]);
		const wholeMs = Date.now() - startMs;
		await lamellaAsync(root, ["rmi", reference()]);
		for (let i = 0; i < KILLS; i++) {
			const afterMs = wholeMs * (0.3 + 0.8 * Math.random());
			const wait = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, afterMs));
			await signalled(["pull", reference()], "SIGKILL", wait);
			await expectPulled();
			await lamellaAsync(root, ["rmi", reference()]);
			await lamellaAsync(root, ["cleanup"]);
			expect(leftIn(root)).toEqual([]);
		}
	});

	test("twice at once is one image", async () => {
		const pulls = [1, 2].map(() => lamellaAsync(root, ["pull", reference()]));
		await Promise.all(pulls);
		await expectPulled();
		expect(lamella(root, "images", "-q").trim().split("\n")).toHaveLength(1);
	});

	test("that the disk is too small for says so, and gives back what it took", async () => {
		using disk = makeFilesystem("ext4", 64 * MIB);
		root = path.join(disk.path, "store");
		lamella(root, "create", "some");
		lamella(root, "rm", "some");
		const free = statfsSync(disk.path);
		const filler = path.join(disk.path, "filler");
		run("fallocate", ["-l", String(free.bsize * free.bfree - 8 * MIB), filler]);
		const before = statfsSync(disk.path);
		const { code, stderr } = await tryLamellaAsync(root, ["pull", reference()]);
		expect(code).toBe(1);
		expect(stderr).toMatch(/disk .*is full.*; make room/);
		expect(stderr).toContain("team/app");
		const after = statfsSync(disk.path);
		expect(after.bfree).toBeGreaterThan(before.bfree - 64);
		expect(after.ffree).toBe(before.ffree);
		expect(leftIn(root)).toEqual([]);
		run("rm", [filler]);
		await expectPulled();
		expect(mountsBelow(disk.path)).toEqual([disk.path]);
	});
});

describe("a push", () => {
	const target = (): string => `${emptyProxy.host}/pushed/app-${stores}:1`;
	const upload = requests(/^(PUT|PATCH) .*\/blobs\/uploads\//);

	beforeEach(async () => {
		await lamellaAsync(root, ["pull", reference()]);
	});

	async function expectPushed(): Promise<void> {
		emptyProxy.misbehave();
		expect((await fetch(`${empty.origin}/v2/pushed/app-${stores}/manifests/1`)).status).toBe(404);
		await lamellaAsync(root, ["push", reference(), target()]);
		expect(["staging", "trash"].flatMap((name) => readdirSync(path.join(root, name)))).toEqual([]);
		root = `${root}-again`;
		await lamellaAsync(root, ["pull", target()]);
		await using store = await openStore({ root });
		expectSameTree(await treeOfImage(store, target()), tree);
	}

	test("that is interrupted leaves no image there, and the next one makes it", async () => {
		const { code, stderr } = await signalled(
			["push", reference(), target()],
			"SIGINT",
			stopping({ when: upload, fault: silence }, emptyProxy),
		);
		expect(code, stderr).toBe(130);
		await expectPushed();
	});

	test("that is killed leaves no image there, and the next one makes it", async () => {
		await signalled(
			["push", reference(), target()],
			"SIGKILL",
			stopping({ when: upload, fault: silence }, emptyProxy),
		);
		await expectPushed();
	});
});
