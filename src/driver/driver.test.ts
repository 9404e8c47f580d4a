import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, watch, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeDirectory, makeFilesystem, type TestFilesystem } from "../../test/support/filesystems.ts";
import { run } from "../../test/support/processes.ts";
import { isLamellaError } from "../errors/index.ts";
import { JobPool } from "../jobs/index.ts";
import { LAYER_JOBS, type LayerJobs } from "../layer/index.ts";
import * as linux from "../linux/index.ts";
import type { DriverName } from "./driver.ts";
import { TREE, TREE_WITH_ROOT } from "./form.ts";
import { openDriver } from "./index.ts";
import { mountOverlay } from "./overlay/mount-overlay.ts";
import { fixedOptions } from "./overlay/options.ts";
import { lowersOf } from "./place.ts";
import { boxedDriver } from "./testing/boxed-driver.ts";
import { DRIVER_CONFORMANCE } from "./testing/conformance.ts";

const MIB = 2 ** 20;
let jobs: JobPool<LayerJobs>;
beforeAll(() => {
	jobs = new JobPool<LayerJobs>(LAYER_JOBS, { threads: 1 });
});
afterAll(() => jobs.dispose());

const BACKINGS: readonly (readonly [DriverName, string, () => TestFilesystem])[] = [
	["overlay", "ext4", () => makeFilesystem("ext4", 64 * MIB)],
	["overlay", "xfs", () => makeFilesystem("xfs", 320 * MIB)],
	["overlay", "btrfs", () => makeFilesystem("btrfs", 128 * MIB)],
	["overlay", "tmpfs", () => makeFilesystem("tmpfs", 64 * MIB)],
	["packed", "ext4", () => makeFilesystem("ext4", 64 * MIB)],
	["packed", "xfs", () => makeFilesystem("xfs", 320 * MIB)],
	["packed", "btrfs", () => makeFilesystem("btrfs", 128 * MIB)],
	["vfs", "xfs", () => makeFilesystem("xfs", 320 * MIB)],
	["vfs", "tmpfs", () => makeFilesystem("tmpfs", 64 * MIB)],
];

describe.each(BACKINGS)("%s on %s", (name, filesystem, make) => {
	let backing: TestFilesystem;
	beforeAll(() => {
		backing = make();
	});
	afterAll(() => backing?.[Symbol.dispose]());

	test("opens, says what it stands on, and leaves nothing of its trial behind", () => {
		const mountsHere = () =>
			linux.readMountInfo().filter((m) => m.mountPoint.toString().startsWith(`${backing.path}/`));
		const driver = openDriver({ root: backing.path, name, jobs });
		expect(driver.name).toBe(name);
		expect(driver.status()).toContainEqual(["Backing filesystem", filesystem]);
		expect(readdirSync(backing.path).filter((entry) => entry.startsWith("probe-"))).toEqual([]);
		expect(mountsHere()).toEqual([]);
	});

	test.each(DRIVER_CONFORMANCE.map((rule) => [rule.name, rule] as const))("%s", async (_, rule) => {
		const root = path.join(backing.path, "rö,o:t\\x");
		mkdirSync(root, { recursive: true });
		await rule.run(openDriver({ root, name, jobs }), root);
	});
});

test("the trial is made where it is told to, so that what a kill leaves of it is swept", async () => {
	using backing = makeFilesystem("tmpfs", 64 * MIB);
	const trialIn = path.join(backing.path, "staging");
	mkdirSync(trialIn);
	using watcher = watching(trialIn);
	openDriver({ root: backing.path, trialIn, name: "overlay", jobs });
	expect(await watcher.firstName).toMatch(/^probe-/);
	expect(readdirSync(trialIn)).toEqual([]);
});

function watching(directory: string): Disposable & { readonly firstName: Promise<unknown> } {
	const watcher = watch(directory);
	const firstName = once(watcher, "change").then(([, name]: unknown[]) => name);
	return { firstName, [Symbol.dispose]: () => watcher.close() };
}

test.each(DRIVER_CONFORMANCE.map((rule) => [rule.name, rule] as const))(
	"a driver of another form: %s",
	async (_, rule) => {
		using backing = makeDirectory();
		await rule.run(boxedDriver(openDriver({ root: backing.path, name: "overlay", jobs })), backing.path);
	},
);

function refusal(run: () => unknown): unknown {
	try {
		run();
	} catch (error) {
		return error;
	}
	throw new Error("nothing was refused");
}

test("on an overlay filesystem overlay is refused by name, and auto takes vfs and says why", () => {
	using home = makeDirectory();
	const at = (name: string): string => path.join(home.path, name);
	for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(at(name));
	const upper = { directory: at("upper"), work: at("work") };
	mountOverlay("mount", { lowers: [at("lower")], upper, options: [] }, at("merged"));
	const error = refusal(() => openDriver({ root: at("merged"), name: "overlay", jobs }));
	expect(isLamellaError(error, "EINCOMPATIBLEFS")).toBe(true);
	expect(String(error)).toMatch(/overlay does not work on overlay .*mounting.*volume/);
	const driver = openDriver({ root: at("merged"), jobs });
	expect(driver.name).toBe("vfs");
	expect(Object.fromEntries(driver.status())["Not overlay because"]).toContain("overlayfs cannot write");
	const byName = openDriver({ root: at("merged"), name: "vfs", jobs });
	expect(Object.fromEntries(byName.status())["Not overlay because"]).toContain("overlayfs cannot write");
});

test.each(["auto", "overlay"] as const)("%s on a filesystem without packed layers says why", (name) => {
	using backing = makeFilesystem("tmpfs", 64 * MIB);
	const driver = openDriver({ root: backing.path, name, jobs });
	expect(driver.name).toBe("overlay");
	expect(Object.fromEntries(driver.status())["Not packed because"]).toContain("ENOTBLK");
	expect(readdirSync(backing.path)).toEqual([]);
});

test("a filesystem without d_type is refused, and the message says how to make it with", () => {
	using home = makeFilesystem("ext4", 16 * MIB, { mkfs: ["-O", "^filetype"] });
	const error = refusal(() => openDriver({ root: home.path, name: "overlay", jobs }));
	expect(isLamellaError(error, "EINCOMPATIBLEFS")).toBe(true);
	expect(String(error)).toMatch(/overlay does not work on ext4 .*: d_type .*ftype=1/);
	expect(readdirSync(home.path)).toEqual(["lost+found"]);
});

test("a root that does not exist, or is read-only, is told apart from one on which overlay cannot work", () => {
	using home = makeFilesystem("tmpfs", MIB, { mountOptions: ["ro"] });
	expect(refusal(() => openDriver({ root: home.path, jobs }))).toMatchObject({ code: "ECONFIG" });
	expect(refusal(() => openDriver({ root: `${home.path}/none`, jobs }))).toMatchObject({
		code: "ECONFIG",
	});
});

test("the walk down a chain ends at the first root/", () => {
	const place = (directory: string, form = TREE) => ({ directory, mountPoint: `${directory}-mounted`, form });
	expect(lowersOf([place("/3"), place("/2", TREE_WITH_ROOT), place("/1")])).toEqual(["/3/diff", "/2/root"]);
	expect(lowersOf([place("/2"), place("/1")])).toEqual(["/2/diff", "/1/diff"]);
	expect(lowersOf([])).toEqual([]);
});

// No kernel of the tests has SELinux: the mounts are made without the label, which the kernel would otherwise take.
test.each([
	["active", "rw"],
	["view", "ro"],
	["committed", "ro"],
] as const)(
	"a single directory is bound, but merged with nothing where it gets a label (%s)",
	async (kind, access) => {
		using home = makeDirectory();
		const driver = openDriver({ root: home.path, name: "overlay", jobs });
		const directory = path.join(home.path, "layer");
		const layer = { directory, mountPoint: path.join(home.path, "mounted"), form: TREE };
		mkdirSync(layer.directory);
		await driver.prepare(layer.directory, [], { kind: kind === "view" ? "view" : "active" });
		writeFileSync(path.join(layer.directory, "diff/file"), "content");
		const request = { layer, chain: [], kind };
		expect(await driver.describeMount(request)).toMatchObject({ type: "bind", options: [access, "rbind"] });

		const labelled = { ...request, mountLabel: "system_u:object_r:container_file_t:s0:c1,c2" };
		const { type, source, options } = await driver.describeMount(labelled);
		expect(type).toBe("overlay");
		expect(options).toContain(`context="${labelled.mountLabel}"`);
		const target = path.join(home.path, "target");
		mkdirSync(target);
		run("mount", [
			"-t",
			type,
			source,
			target,
			"-o",
			options.filter((o) => !o.startsWith("context=")).join(","),
		]);
		expect(readdirSync(target)).toEqual(["file"]);
		if (kind === "active") {
			writeFileSync(path.join(target, "new"), "");
			expect(existsSync(path.join(layer.directory, "diff/new"))).toBe(true);
		} else {
			expect(() => writeFileSync(path.join(target, "new"), "")).toThrow(/EROFS/);
		}
		await expect(driver.mount(labelled)).rejects.toThrow(/SELinux is not active on this host/);
		expect(driver.isMounted(layer)).toBe(false);
	},
);

describe.each(["fsconfig", "mount"] as const)("mounting by %s", (api) => {
	test("takes chains whose options go over a page, and paths over 255 bytes", () => {
		using home = makeFilesystem("tmpfs", 16 * MIB);
		const directory = path.join(home.path, "long".repeat(60), "a,b:c\\d");
		const lowers = Array.from({ length: 130 }, (_, i) => path.join(directory, `${i}/diff`));
		for (const [i, lower] of lowers.entries()) {
			mkdirSync(lower, { recursive: true });
			writeFileSync(path.join(lower, `of-${i}`), "");
			writeFileSync(path.join(lower, "who"), String(i));
		}
		const target = path.join(home.path, "merged");
		for (const name of ["upper", "work"]) mkdirSync(path.join(directory, name));
		mkdirSync(target);
		const upper = { directory: path.join(directory, "upper"), work: path.join(directory, "work") };
		mountOverlay(api, { lowers, upper, options: fixedOptions(false) }, target);
		expect(readdirSync(target).length).toBe(131);
		expect(readFileSync(path.join(target, "who"), "utf8")).toBe("0");
		writeFileSync(path.join(target, "new"), "");
		expect(existsSync(path.join(upper.directory, "new"))).toBe(true);
		linux.umount2(target);
	});

	test("a mount label without SELinux is refused, not dropped", () => {
		using home = makeDirectory();
		const mount = { lowers: [home.path], options: [], mountLabel: "system_u:object_r:x_t:s0" };
		expect(refusal(() => mountOverlay(api, mount, home.path))).toMatchObject({ code: "ENOTSUPPORTED" });
	});
});
