/**
 * The Driver contract as a suite that any driver runs, for tests. Each step is named; a step that fails throws.
 * Knows nothing of a test runner: it is names and functions.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { isLamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import type { Driver, LayerKind, LayerPlace } from "../driver.ts";

/** One rule of the contract. `root` is an empty directory on the filesystem that the driver was opened for. */
export interface ConformanceCase {
	readonly name: string;
	readonly run: (driver: Driver, root: string) => Promise<void>;
}

/** Layers made as the store makes them, without names or records. */
class Layers implements Disposable {
	readonly #driver: Driver;
	readonly #root: string;
	readonly #made: LayerPlace[] = [];

	constructor(driver: Driver, root: string) {
		this.#driver = driver;
		this.#root = root;
	}

	#place(): LayerPlace {
		const directory = path.join(this.#root, `layer-${this.#made.length}`);
		mkdirSync(directory, { mode: 0o710 });
		const place = { directory, mountPoint: `${directory}-mounted`, form: this.#driver.form };
		this.#made.push(place);
		return place;
	}

	async make(chain: readonly LayerPlace[], kind: "active" | "view" = "active"): Promise<LayerPlace> {
		const layer = this.#place();
		await this.#driver.prepare(layer.directory, chain, { kind });
		return layer;
	}

	/** A committed layer over `chain`, in which `change` was done through a mount. */
	async commit(chain: readonly LayerPlace[], change: (tree: string) => void): Promise<LayerPlace> {
		const layer = await this.make(chain);
		change(await this.mount(layer, chain));
		this.#driver.unmount(layer);
		await this.#driver.finishCommit(layer);
		return layer;
	}

	async copy(from: LayerPlace, { share }: { readonly share: boolean }): Promise<LayerPlace> {
		const copy = this.#place();
		await this.#driver.copy(copy.directory, from, { share });
		return copy;
	}

	mount(layer: LayerPlace, chain: readonly LayerPlace[], kind: LayerKind = "active"): Promise<string> {
		return this.#driver.mount({ layer, chain, kind });
	}

	[Symbol.dispose](): void {
		for (const layer of this.#made) this.#driver.unmount(layer, { detach: true });
		for (const { directory } of this.#made) rmSync(directory, { recursive: true, force: true });
	}
}

const text = (...names: string[]): string => readFileSync(path.join(...names), "utf8");
const write = (content: string, ...names: string[]): void => writeFileSync(path.join(...names), content);

async function threeLayers(layers: Layers): Promise<[LayerPlace, LayerPlace, LayerPlace]> {
	const bottom = await layers.commit([], (tree) => {
		mkdirSync(path.join(tree, "etc"));
		write("bottom", tree, "etc/a");
		write("bottom", tree, "etc/b");
		write("bottom", tree, "gone");
		mkdirSync(path.join(tree, "replaced"));
		write("bottom", tree, "replaced/below");
	});
	const middle = await layers.commit([bottom], (tree) => {
		write("middle", tree, "etc/b");
		rmSync(path.join(tree, "gone"));
		rmSync(path.join(tree, "replaced"), { recursive: true });
		mkdirSync(path.join(tree, "replaced"));
		write("middle", tree, "replaced/new");
	});
	const top = await layers.commit([middle, bottom], (tree) => write("top", tree, "etc/c"));
	return [top, middle, bottom];
}

function checkThreeLayers(tree: string): void {
	assert.deepEqual(readdirSync(tree).sort(), ["etc", "replaced"]);
	assert.deepEqual(
		["a", "b", "c"].map((name) => text(tree, "etc", name)),
		["bottom", "middle", "top"],
	);
	assert.deepEqual(readdirSync(path.join(tree, "replaced")), ["new"]);
}

function mustBeReadOnly(tree: string): void {
	assert.throws(() => write("x", tree, "written"), /EROFS/);
}

interface Tools {
	readonly driver: Driver;
	readonly root: string;
	readonly layers: Layers;
}

/** By what they say of a driver. One that does not apply to a driver passes by its own rules. */
const RULES: Readonly<Record<string, (tools: Tools) => Promise<void>>> = {
	async "a layer without a parent is empty, belongs to root, and keeps what is written"({ driver, layers }) {
		const layer = await layers.make([]);
		const tree = await layers.mount(layer, []);
		assert.deepEqual(readdirSync(tree), []);
		const { mode, uid, gid } = statSync(tree);
		assert.deepEqual([mode & 0o7777, uid, gid], [0o755, 0, 0]);
		write("x", tree, "kept");
		driver.unmount(layer);
		assert.equal(driver.isMounted(layer), false);
		assert.equal(text(await layers.mount(layer, []), "kept"), "x");
	},
	async "a chain is seen merged: later layers hide, delete and replace what earlier ones have"({ layers }) {
		const chain = await threeLayers(layers);
		const layer = await layers.make(chain);
		checkThreeLayers(await layers.mount(layer, chain));
	},
	async "a commit that is finished late leaves a committed layer mounted that somebody looks at"({
		driver,
		layers,
	}) {
		const chain = await threeLayers(layers);
		const [top, ...below] = chain;
		const tree = await layers.mount(top, below, "committed");
		await driver.finishCommit(top);
		checkThreeLayers(tree);
		assert.equal(driver.isMounted(top), true);
		driver.unmount(top);
		await driver.finishCommit(top);
		assert.equal(driver.isMounted(top), false);
	},
	async "changes stay in the layer: its parents and its siblings do not see them"({ layers }) {
		const chain = await threeLayers(layers);
		const one = await layers.make(chain);
		const two = await layers.make(chain);
		const tree = await layers.mount(one, chain);
		write("changed", tree, "etc/a");
		rmSync(path.join(tree, "etc/b"));
		checkThreeLayers(await layers.mount(two, chain));
		const view = await layers.make(chain, "view");
		checkThreeLayers(await layers.mount(view, chain, "view"));
		assert.equal(text(tree, "etc/a"), "changed");
	},
	async "views and committed layers are read-only, over no parent, one and several"({ driver, layers }) {
		const chain = await threeLayers(layers);
		const [top, middle, bottom] = chain;
		for (const below of [[], [bottom], [middle, bottom], chain]) {
			const view = await layers.make(below, "view");
			const tree = await layers.mount(view, below, "view");
			mustBeReadOnly(tree);
			assert.equal(driver.isMounted(view), true);
		}
		const committed = await layers.mount(top, [middle, bottom], "committed");
		checkThreeLayers(committed);
		mustBeReadOnly(committed);
		mustBeReadOnly(await layers.mount(bottom, [], "committed"));
	},
	async "the root directory's owner, mode, times and xattrs go up the chain"({ layers }) {
		const bottom = await layers.commit([], (tree) => {
			const fd = linux.openat(linux.AT_FDCWD, tree, linux.O_RDONLY | linux.O_DIRECTORY);
			linux.fchown(fd, 7, 8);
			linux.fchmod(fd, 0o2751);
			linux.fsetxattr(fd, "trusted.lamella", Buffer.from([0, 255]));
			linux.futimens(fd, 1_000_000_001n, -5n);
			linux.close(fd);
		});
		for (const kind of ["active", "view"] as const) {
			const layer = await layers.make([bottom], kind);
			const tree = await layers.mount(layer, [bottom], kind);
			const { uid, gid, mode, mtimeNs } = linux.fstatat(linux.AT_FDCWD, tree);
			assert.deepEqual([uid, gid, mode & 0o7777, mtimeNs], [7, 8, 0o2751, -5n]);
			const value = linux.lgetxattrAt(linux.AT_FDCWD, tree, "trusted.lamella");
			assert.deepEqual(value, Buffer.from([0, 255]));
		}
	},
	async "mounting what is mounted changes nothing; unmounting what is not is harmless"({
		driver,
		root,
		layers,
	}) {
		const chain = await threeLayers(layers);
		const layer = await layers.make(chain);
		driver.unmount(layer);
		const directory = path.join(root, "no-such-layer");
		driver.unmount({ directory, mountPoint: `${directory}-mounted`, form: driver.form });
		assert.equal(driver.isMounted(layer), false);
		const tree = await layers.mount(layer, chain);
		const mountsHere = (): number =>
			linux.readMountInfo().filter((m) => m.mountPoint.toString().startsWith(`${root}/`)).length;
		const before = mountsHere();
		assert.equal(await layers.mount(layer, chain), tree);
		assert.equal(mountsHere(), before);
		driver.unmount(layer);
		driver.unmount(layer);
		assert.equal(driver.isMounted(layer), false);
	},
	async "mounts that others stacked on top and made inside go with the layer's"({ driver, layers }) {
		const chain = await threeLayers(layers);
		const view = await layers.make(chain, "view");
		const tree = await layers.mount(view, chain, "view");
		linux.mount("inside", path.join(tree, "etc"), "tmpfs", 0);
		mkdirSync(path.join(tree, "etc/deeper"));
		linux.mount("deeper", path.join(tree, "etc/deeper"), "tmpfs", 0);
		linux.mount("stacked", tree, "tmpfs", 0);
		driver.unmount(view);
		assert.equal(driver.isMounted(view), false);
		checkThreeLayers(await layers.mount(view, chain, "view"));
	},
	async "a layer in use is not unmounted, and the error names the process; detach takes it away"({
		driver,
		layers,
	}) {
		const chain = await threeLayers(layers);
		const view = await layers.make(chain, "view");
		const tree = await layers.mount(view, chain, "view");
		const process = spawn("/bin/sleep", ["60"], { cwd: tree, stdio: "ignore" });
		try {
			await new Promise((resolve, reject) => process.once("spawn", resolve).once("error", reject));
			assert.throws(
				() => driver.unmount(view),
				(error) => isLamellaError(error, "EBUSY") && error.message.includes(`(pid ${process.pid})`),
			);
			assert.equal(driver.isMounted(view), true);
			driver.unmount(view, { detach: true });
			assert.equal(driver.isMounted(view), false);
		} finally {
			const ended = new Promise((resolve) => process.once("exit", resolve));
			process.kill("SIGKILL");
			await ended;
		}
	},
	async "what describeMount says, mounted by mount(8)'s rules, shows the same tree"({
		driver,
		root,
		layers,
	}) {
		const chain = await threeLayers(layers);
		for (const kind of ["active", "view"] as const) {
			const layer = await layers.make(chain, kind);
			const { type, source, options } = await driver.describeMount({ layer, chain, kind });
			const target = path.join(root, `described-${kind}`);
			mkdirSync(target);
			try {
				if (type === "bind") linux.mount(source, target, null, linux.MS_BIND);
				else linux.mount(source, target, type, 0, options.join(","));
				checkThreeLayers(target);
			} finally {
				linux.umount2(target);
			}
		}
	},
	async "a committed layer has nothing left that only an active one needs, and is never mounted then"({
		driver,
		layers,
	}) {
		const layer = await layers.commit([], (tree) => write("x", tree, "f"));
		assert.equal(existsSync(path.join(layer.directory, "work")), false);
		assert.equal((await driver.usage(layer)).inodes, 2);
	},
	async "a copy of a layer has the same changes, and neither changes with the other"({ driver, layers }) {
		const [top, middle, bottom] = await threeLayers(layers);
		const chain = [middle, bottom];
		for (const share of [true, false]) {
			const replacing = await layers.copy(middle, { share });
			const tree = await layers.mount(replacing, [bottom], "committed");
			assert.deepEqual(readdirSync(path.join(tree, "replaced")), ["new"]);
			assert.deepEqual(readdirSync(tree).sort(), ["etc", "replaced"]);
			const copy = await layers.copy(top, { share });
			await driver.seal(copy, [copy.directory]);
			await using held = await driver.hold(copy, chain);
			assert.equal(held.subject.form === "upper" || held.subject.form === "trees", true);
			checkThreeLayers(await layers.mount(copy, chain, "committed"));
			const over = await layers.make([copy, ...chain]);
			write("changed", await layers.mount(over, [copy, ...chain]), "etc/c");
			assert.equal(text(await layers.mount(top, chain, "committed"), "etc/c"), "top");
		}
	},
	async "an apply target is an empty diff over the lowers, or a whole copy of the parent"({
		driver,
		root,
		layers,
	}) {
		const chain = await threeLayers(layers);
		const staged = path.join(root, "staged");
		mkdirSync(staged);
		try {
			await using prepared = await driver.prepareApply(staged, chain);
			const { target } = prepared;
			if (target.form === "plain") checkThreeLayers(target.directory);
			else {
				assert.deepEqual(readdirSync(target.directory), []);
				assert.equal(target.lowers.length, chain.length);
			}
		} finally {
			rmSync(staged, { recursive: true });
		}
	},
};

export const DRIVER_CONFORMANCE: readonly ConformanceCase[] = Object.entries(RULES).map(([name, rule]) => ({
	name,
	async run(driver, root) {
		using layers = new Layers(driver, root);
		await rule({ driver, root, layers });
	},
}));
