/** What every LayerStore has to do, whatever its driver and flatten policy. Run it from a test file. */
import { execFileSync } from "node:child_process";
import {
	chmodSync,
	existsSync,
	lstatSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	statSync,
	writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DriverName } from "../../driver/index.ts";
import type { LayerSource } from "../../layer/index.ts";
import type { FlattenPolicy, LayerId, LayerInfo, LayerStore } from "../contract.ts";

/** Opens the store at a root; called again to open it a second time. */
export type OpenForConformance = (root: string) => Promise<LayerStore>;

const id = (text: string): LayerId => text as LayerId;

export function layerStoreConformance(
	name: string,
	open: OpenForConformance,
	facts: {
		readonly driver: DriverName;
		readonly flatten: FlattenPolicy;
		/** Default: an overlay driver does. */
		readonly flattens?: boolean;
	},
): void {
	describe(`a layer store: ${name}`, () => {
		let base: string;
		let root: string;
		let store: LayerStore;
		let made = 0;

		beforeEach(async () => {
			base = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
			root = path.join(base, "state");
			store = await open(root);
		});
		afterEach(async () => {
			for (const { id } of [...store.list()].sort((a, b) => b.depth - a.depth)) {
				await store.remove(id, { force: true });
			}
			await store.close();
			rmSync(base, { recursive: true, force: true });
		});

		/** A layer tar of these files, made by the system's tar; a value of undefined is a whiteout. */
		function layerTar(files: Readonly<Record<string, string | undefined>>): LayerSource & { from: "range" } {
			made += 1;
			const tree = path.join(base, `tree${made}`);
			for (const [name, content] of Object.entries(files)) {
				const file = path.join(
					tree,
					path.dirname(name),
					content === undefined ? `.wh.${path.basename(name)}` : path.basename(name),
				);
				mkdirSync(path.dirname(file), { recursive: true });
				writeFileSync(file, content ?? "");
			}
			const tar = `${tree}.tar`;
			execFileSync("tar", ["-C", tree, "-cf", tar, "."]);
			return { from: "range", path: tar, offset: 0, sizeBytes: statSync(tar).size, compression: "detect" };
		}

		async function reading<R>(layer: LayerId, look: (tree: string) => R): Promise<R> {
			await using mount = await store.mount(layer);
			return look(mount.path);
		}

		const changesOf = async (layer: LayerId): Promise<string[]> =>
			(await store.changes(layer)).map(({ kind, path }) => `${kind} ${path.toString()}`);

		it("goes from a tar to a container and back", async () => {
			const layer = await store.applyLayer(
				id("base"),
				layerTar({ "etc/a": "1", "etc/b": "2", "opt/c": "3" }),
			);
			expect(layer).toMatchObject({ id: "base", kind: "committed", depth: 0, mountCount: 0 });
			const isFlat = facts.driver === "packed" || (facts.driver === "overlay" && facts.flatten === "always");
			expect(layer.flattened).toBe(isFlat);
			const active = await store.create(id("web"), { parent: id("base"), labels: { a: "b" } });
			expect(active).toMatchObject({ kind: "active", parent: "base", depth: 1, labels: { a: "b" } });
			{
				await using mount = await store.mount(id("web"));
				writeFileSync(path.join(mount.path, "etc/new"), "new");
				rmSync(path.join(mount.path, "etc/a"));
				writeFileSync(path.join(mount.path, "etc/b"), "3");
			}
			const changes = ["C /etc", "D /etc/a", "C /etc/b", "A /etc/new"];
			expect((await changesOf(id("web"))).sort()).toEqual(changes.sort());
			const { stream, result } = store.diff(id("web"));
			const tar = await buffer(stream);
			const { diffId, tarSizeBytes } = await result;
			expect(tarSizeBytes).toBe(tar.length);
			const committed = await store.commit(id("web"), id("image"), { labels: { done: "1" } });
			expect(committed).toMatchObject({ id: "image", kind: "committed", labels: { done: "1" } });
			expect(store.has(id("web"))).toBe(false);
			// The same layer from its tar is the same tree.
			const again = await store.applyLayer(id("again"), Readable.from([tar]), {
				parent: id("base"),
				expectedDiffId: diffId,
			});
			expect(again.applied.diffId).toBe(diffId);
			for (const layer of [id("image"), id("again")]) {
				expect(
					await reading(layer, (tree) => [
						readdirSync(path.join(tree, "etc")).sort(),
						readFileSync(path.join(tree, "etc/b"), "utf8"),
						readFileSync(path.join(tree, "opt/c"), "utf8"),
					]),
				).toEqual([["b", "new"], "3", "3"]);
			}
			expect(await store.diffSize(id("image"))).toBe(4);
			expect((await store.usage(id("image"))).inodes).toBeGreaterThan(2);
		});

		it("imports a chain whose layers need those below, with its records, at once", async () => {
			const bottom = layerTar({ "usr/lib/a": "1", "usr/lib/gone": "2", "etc/x": "3" });
			made += 1;
			const middle = path.join(base, `tree${made}`);
			mkdirSync(path.join(middle, "usr/lib"), { recursive: true });
			writeFileSync(path.join(middle, "usr/lib/.wh.gone"), "");
			writeFileSync(path.join(middle, "usr/lib/b"), "b");
			// Only the files: their parents are implied by the layer below.
			execFileSync("tar", ["-C", middle, "-cf", `${middle}.tar`, "usr/lib/.wh.gone", "usr/lib/b"]);
			const sizeBytes = statSync(`${middle}.tar`).size;
			const source: LayerSource = { ...bottom, path: `${middle}.tar`, sizeBytes };
			chmodSync(path.join(base, `tree${made - 1}`, "usr/lib"), 0o751);
			execFileSync("tar", ["-C", path.join(base, `tree${made - 1}`), "-cf", bottom.path, "."]);
			const layers = await store.importChain(
				[
					{ id: id("l1"), source: { ...bottom, sizeBytes: statSync(bottom.path).size } },
					{ id: id("l2"), source },
					{ id: id("l3"), source: layerTar({ "etc/y": "y" }) },
				],
				{ also: ({ records, has }) => records("images").put("i", { has: has(id("l3")) }) },
			);
			expect(layers.map(({ id, parent }) => [id, parent])).toEqual([
				["l1", undefined],
				["l2", "l1"],
				["l3", "l2"],
			]);
			expect(store.chain(id("l3")).map(({ id }) => id)).toEqual(["l2", "l1"]);
			expect([...store.records("images").list()]).toEqual([["i", { has: true }]]);
			const [names, mode] = await reading(id("l3"), (tree) => [
				[...readdirSync(path.join(tree, "usr/lib")), ...readdirSync(path.join(tree, "etc"))].sort(),
				lstatSync(path.join(tree, "usr/lib")).mode & 0o7777,
			]);
			expect(names).toEqual(["a", "b", "x", "y"]);
			expect(mode).toBe(0o751);
			const kept = await store.importChain([{ id: id("l1"), source: bottom }], { keepExisting: true });
			expect(kept[0]?.applied).toBeUndefined();
			await expect(store.importChain([{ id: id("l1"), source: bottom }])).rejects.toMatchObject({
				code: "EEXISTS",
			});
		});

		it("leaves nothing behind where a layer of a chain is bad", async () => {
			const bad = { expectedDiffId: `sha256:${"0".repeat(64)}` as never };
			const chain = [
				{ id: id("l1"), source: layerTar({ a: "1" }) },
				{ id: id("l2"), source: layerTar({ b: "2" }), ...bad },
				{ id: id("l3"), source: layerTar({ c: "3" }) },
			];
			await expect(store.importChain(chain)).rejects.toMatchObject({ code: "EDIGEST" });
			const also = (): never => {
				throw new Error("not this one");
			};
			await expect(
				store.importChain([{ id: id("l1"), source: layerTar({ a: "1" }) }], { also }),
			).rejects.toThrow("not this one");
			await store.cleanup();
			expect([...store.list()]).toEqual([]);
			expect(readdirSync(path.join(root, "layers"))).toEqual([]);
			expect(readdirSync(path.join(root, "trash"))).toEqual([]);
		});

		it("takes no layer from a stream that breaks off, even between two members", async () => {
			const whole = readFileSync(layerTar({ a: "1", b: "2" }).path);
			async function* breaking(): AsyncGenerator<Buffer> {
				yield whole.subarray(0, 1024);
				yield Buffer.alloc(1024);
				throw new Error("the line went dead");
			}
			await expect(store.applyLayer(id("cut"), Readable.from(breaking()))).rejects.toThrow(
				/the line went dead/,
			);
			expect(store.has(id("cut"))).toBe(false);
		});

		it("keeps kinds, parents and children apart", async () => {
			await store.applyLayer(id("base"), layerTar({ a: "1" }));
			await store.create(id("web"), { parent: id("base") });
			await store.create(id("look"), { parent: id("base"), kind: "view" });
			await expect(store.create(id("x"), { parent: id("web") })).rejects.toMatchObject({ code: "EKIND" });
			await expect(store.create(id("x"), { parent: id("nobody") })).rejects.toMatchObject({
				code: "ENOTFOUND",
			});
			await expect(store.create(id("web"))).rejects.toMatchObject({ code: "EEXISTS" });
			await expect(store.commit(id("look"), id("x"))).rejects.toMatchObject({ code: "EKIND" });
			await expect(store.commit(id("base"), id("x"))).rejects.toMatchObject({ code: "EKIND" });
			await expect(store.commit(id("web"), id("base"))).rejects.toMatchObject({ code: "EEXISTS" });
			await expect(store.remove(id("base"), { force: true })).rejects.toThrow(/"look".*"web"|"web".*"look"/);
			await expect(store.flatten(id("web"))).rejects.toMatchObject({ code: "EKIND" });
			expect([...store.children(id("base"))].sort()).toEqual(["look", "web"]);
			expect([...store.childrenOfEach([id("base"), id("web"), id("nobody")])]).toEqual([
				["web", []],
				["base", ["look", "web"]],
			]);
			expect(() => store.get(id("nobody"))).toThrow(expect.objectContaining({ code: "ENOTFOUND" }));
			expect([...store.list()].map(({ id }) => id)).toEqual(["base", "look", "web"]);
			await reading(id("look"), (tree) => {
				expect(() => writeFileSync(path.join(tree, "a"), "2")).toThrow(/EROFS/);
			});
			await store.removeAll([id("base"), id("look"), id("web")]);
			expect([...store.list()]).toEqual([]);
		});

		it("shows and keeps what is made without a flush as anything else", async () => {
			await store.create(id("k1"), { durable: false });
			await store.commit(id("k1"), id("base"), { labels: { a: "1" } });
			await store.create(id("k2"), { parent: id("base"), durable: false });
			expect(store.get(id("k2"))).toMatchObject({ parent: "base", depth: 1 });
			await expect(store.create(id("k2"), { durable: false })).rejects.toMatchObject({ code: "EEXISTS" });
			await expect(store.remove(id("base"))).rejects.toMatchObject({ code: "EREFERENCED" });
			await store.close();
			store = await open(root);
			expect([...store.list()].map(({ id, kind }) => `${id} ${kind}`)).toEqual([
				"base committed",
				"k2 active",
			]);
		});

		it("frees the id of what is removed without a flush at once, and deletes it before it closes", async () => {
			const { directory } = await store.create(id("k"), { durable: false });
			await store.remove(id("k"), { durable: false });
			expect(store.has(id("k"))).toBe(false);
			const again = await store.create(id("k"), { durable: false });
			await store.close();
			expect([existsSync(directory), existsSync(again.directory)]).toEqual([false, true]);
			store = await open(root);
			expect([...store.list()].map(({ directory }) => directory)).toEqual([again.directory]);
		});

		it("commits one of two that want the same name, and leaves the other as it was", async () => {
			await store.create(id("k1"));
			await store.create(id("k2"));
			const outcomes = await Promise.allSettled([
				store.commit(id("k1"), id("name")),
				store.commit(id("k2"), id("name")),
			]);
			expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
			const stopped = new AbortController();
			stopped.abort();
			const loser = store.has(id("k1")) ? id("k1") : id("k2");
			const again = store.commit(loser, id("other"), { signal: stopped.signal });
			await expect(again).rejects.toMatchObject({ code: "EABORTED" });
			expect(store.get(loser).kind).toBe("active");
			await store.remove(id("name"));
			await store.commit(loser, id("other"));
			await store.cleanup();
			expect(readdirSync(path.join(root, "layers"))).toHaveLength(1);
		});

		it("makes one more committed layer of a layer's content, and leaves that as it was", async () => {
			await store.applyLayer(id("base"), layerTar({ a: "1", b: "1" }));
			await store.create(id("web"), { parent: id("base") });
			await using mount = await store.mount(id("web"));
			writeFileSync(path.join(mount.path, "a"), "2");
			rmSync(path.join(mount.path, "b"));
			const taken = await store.snapshot(id("web"), id("taken"), { labels: { by: "me" } });
			expect(taken).toMatchObject({ kind: "committed", parent: "base", labels: { by: "me" } });
			writeFileSync(path.join(mount.path, "a"), "3");
			await store.snapshot(id("taken"), id("again"));
			for (const copy of [id("taken"), id("again")]) {
				await reading(copy, (tree) => {
					expect(readdirSync(tree)).toEqual(["a"]);
					expect(readFileSync(path.join(tree, "a"), "utf8")).toBe("2");
				});
				expect(await changesOf(copy)).toEqual(["C /a", "D /b"]);
			}
			await expect(store.snapshot(id("web"), id("base"))).rejects.toMatchObject({ code: "EEXISTS" });
		});

		it("takes a snapshot under a name that its content gives, once", async () => {
			await store.applyLayer(id("base"), layerTar({ a: "1" }));
			await store.create(id("web"), { parent: id("base") });
			await using mount = await store.mount(id("web"));
			writeFileSync(path.join(mount.path, "b"), "2");
			const recorded: boolean[] = [];
			const take = (): Promise<LayerInfo> =>
				store.snapshot(id("web"), ({ diffId }) => id(diffId), {
					also: (transaction) => void recorded.push(transaction.has(id("web"))),
				});
			const taken = await take();
			expect(taken).toMatchObject({ id: taken.diffId, kind: "committed", parent: "base" });
			const { stream, result } = store.diff(taken.id);
			stream.resume();
			expect((await result).diffId).toBe(taken.diffId);
			expect((await take()).directory).toBe(taken.directory);
			expect(recorded).toEqual([true, true]);
			const undone = store.snapshot(id("web"), () => id("never"), {
				also: () => {
					throw new Error("undone");
				},
			});
			await expect(undone).rejects.toThrow("undone");
			expect(Array.from(store.list(), (layer) => layer.id).sort()).toEqual(["base", taken.id, "web"].sort());
		});

		it("counts the holders of a mount, over a reopening too", async () => {
			await store.applyLayer(id("base"), layerTar({ a: "1" }));
			await store.create(id("web"), { parent: id("base") });
			const first = await store.mount(id("web"));
			const second = await store.mount(id("web"));
			expect(second.path).toBe(first.path);
			await first.unmount();
			await first.unmount();
			expect(store.get(id("web")).mountCount).toBe(1);
			await expect(store.commit(id("web"), id("x"))).rejects.toMatchObject({ code: "EBUSY" });
			await expect(store.remove(id("web"))).rejects.toMatchObject({ code: "EBUSY" });
			await store.close();
			store = await open(root);
			expect(store.get(id("web")).mountCount).toBe(1);
			expect(existsSync(path.join(second.path, "a"))).toBe(true);
			await store.unmount(id("web"));
			await store.unmount(id("web"));
			expect(store.get(id("web")).mountCount).toBe(0);
			await Promise.all(Array.from({ length: 10 }, () => store.mount(id("web"))));
			expect(store.get(id("web")).mountCount).toBe(10);
			await store.remove(id("web"), { force: true });
			expect(store.has(id("web"))).toBe(false);
		});

		it("tells where its layers are now, when it was copied or moved", async () => {
			await store.applyLayer(id("base"), layerTar({ b: "2" }));
			await store.create(id("web"), { parent: id("base") });
			const held = await store.mount(id("web"));
			writeFileSync(path.join(held.path, "a"), "1");
			const copy = path.join(base, "copy");
			const moved = path.join(base, "moved");
			// Not what is mounted: that is another filesystem.
			execFileSync("cp", ["-ax", root, copy]);
			{
				await using other = await open(copy);
				expect(other.get(id("web")).mountCount).toBe(0);
				await using mount = await other.mount(id("web"));
				expect(mount.path).toMatch(`${copy}/`);
				expect(readFileSync(path.join(mount.path, "a"), "utf8")).toBe("1");
				expect(JSON.stringify(await other.describeMounts(id("web")))).not.toContain(root);
				await mount.unmount();
				await other.remove(id("web"));
			}
			await store.close();
			renameSync(root, moved);
			store = await open(moved);
			expect(store.get(id("web"))).toMatchObject({
				mountCount: 1,
				directory: expect.stringMatching(`^${moved}/`),
			});
			const again = await store.mount(id("web"));
			expect(again.path).toMatch(`${moved}/`);
			expect(readFileSync(path.join(again.path, "a"), "utf8")).toBe("1");
		});

		it("feeds the diff of one layer to another while both are at work, many at once", async () => {
			await store.applyLayer(id("base"), layerTar({ a: "1" }));
			await Promise.all(
				Array.from({ length: 6 }, async (_, n) => {
					await store.create(id(`w${n}`), { parent: id("base") });
					await using mount = await store.mount(id(`w${n}`));
					writeFileSync(path.join(mount.path, "big"), Buffer.alloc(3_000_000, n));
					await store.applyLayer(id(`i${n}`), store.diff(id(`w${n}`)).stream, { parent: id("base") });
				}),
			);
			expect(await reading(id("i5"), (tree) => readFileSync(path.join(tree, "big"))[2_999_999])).toBe(5);
		});

		it("ends a diff when its reader goes away, and a job when its signal fires", async () => {
			await store.create(id("web"));
			{
				await using mount = await store.mount(id("web"));
				writeFileSync(path.join(mount.path, "big"), Buffer.alloc(8_000_000, 1));
			}
			const { stream, result } = store.diff(id("web"));
			stream.once("data", () => stream.destroy());
			await expect(result).rejects.toBeInstanceOf(Error);
			await expect(
				store.applyLayer(id("x"), layerTar({ a: "1" }), { signal: AbortSignal.abort() }),
			).rejects.toMatchObject({ code: "EABORTED" });
			const never = new Readable({ read: () => undefined });
			const controller = new AbortController();
			const hanging = store.applyLayer(id("x"), never, { signal: controller.signal });
			// Long enough for its thread to be at it, and to wait for bytes that never come.
			setTimeout(() => controller.abort(), 500);
			await expect(hanging).rejects.toMatchObject({ code: "EABORTED" });
			expect(store.has(id("x"))).toBe(false);
		});

		it("writes a whole tree, and compares with any layer", async () => {
			await store.applyLayer(id("base"), layerTar({ a: "1" }));
			await store.applyLayer(id("other"), layerTar({ b: "1" }));
			await store.create(id("web"), { parent: id("base") });
			const tar = await buffer(store.diff(id("web"), { against: null }).stream);
			const listed = execFileSync("tar", ["-tf", "-"], { input: tar }).toString();
			expect(listed).toMatch(/^(\.\/)?a$/m);
			const changes = await store.changes(id("web"), { against: id("other") });
			expect(changes.map(({ kind, path }) => `${kind} ${path.toString()}`).sort()).toEqual(["A /a", "D /b"]);
			expect(store.get(id("web")).mountCount).toBe(0);
		});

		it("flattens on request, without a change to what is seen", async () => {
			await store.importChain([
				{ id: id("l1"), source: layerTar({ "d/a": "1", "d/b": "2" }) },
				{ id: id("l2"), source: layerTar({ "d/a": undefined, "d/c": "3" }) },
			]);
			const before = await reading(id("l2"), (tree) => readdirSync(path.join(tree, "d")).sort());
			const layer = await store.flatten(id("l2"));
			expect(layer.flattened).toBe(facts.flattens ?? facts.driver !== "vfs");
			expect(await reading(id("l2"), (tree) => readdirSync(path.join(tree, "d")).sort())).toEqual(before);
			await store.create(id("web"), { parent: id("l2") });
			expect(await reading(id("web"), (tree) => readdirSync(path.join(tree, "d")).sort())).toEqual([
				"b",
				"c",
			]);
		});

		it("flattens commits over what was imported, without a change to what is seen", async () => {
			await store.applyLayer(id("base"), layerTar({ "d/a": "1", "d/b": "2", "e/f": "3" }));
			let parent = id("base");
			for (const n of [1, 2, 3]) {
				await store.create(id(`work${n}`), { parent });
				{
					await using mount = await store.mount(id(`work${n}`));
					writeFileSync(path.join(mount.path, `d/new${n}`), `${n}`);
					rmSync(path.join(mount.path, n === 1 ? "d/a" : `d/new${n - 1}`));
					if (n === 2) rmSync(path.join(mount.path, "e"), { recursive: true });
					if (n === 3) mkdirSync(path.join(mount.path, "e"));
				}
				await store.commit(id(`work${n}`), id(`commit${n}`));
				parent = id(`commit${n}`);
			}
			const list = (layer: LayerId) =>
				reading(layer, (tree) => readdirSync(tree, { recursive: true }).map(String).sort());
			const before = await list(parent);
			expect(before).toEqual(["d", "d/b", "d/new3", "e"]);
			const layer = await store.flatten(parent);
			expect(layer.flattened).toBe(facts.flattens ?? facts.driver !== "vfs");
			expect(await list(parent)).toEqual(before);
			await store.create(id("over"), { parent });
			expect(await list(id("over"))).toEqual(before);
		});

		it("undoes a transaction that throws", async () => {
			await store.records<number>("things").put("a", 1);
			const failing = store.transaction(({ records }) => {
				records<number>("things").put("a", 2);
				expect(records<number>("things").get("a")).toBe(2);
				throw new Error("no");
			});
			await expect(failing).rejects.toThrow("no");
			expect(store.records<number>("things").get("a")).toBe(1);
		});

		it("gives scratch directories that go away", async () => {
			let there: string;
			{
				await using scratch = await store.scratch();
				there = scratch.path;
				writeFileSync(path.join(there, "blob"), "x");
			}
			expect(existsSync(there)).toBe(false);
		});
	});
}
