/**
 * What every graph driver must do, whoever implements it: after the idea of moby's daemon/graphdriver/graphtest.
 * Runs against the library and the plugin's socket.
 */
import {
	appendFileSync,
	chmodSync,
	chownSync,
	existsSync,
	linkSync,
	lstatSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	rmSync,
	utimesSync,
	writeFileSync,
} from "node:fs";
import path from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { GraphDriver } from "../../src/graphdriver/index.ts";
import { mountPoints } from "./filesystems.ts";

export interface DriverUnderTest extends AsyncDisposable {
	readonly driver: GraphDriver;
	/** Where it keeps everything. */
	readonly home: string;
}

export interface ConformanceOptions {
	/** How deep the chain is that is read through (moby: 128). */
	readonly layers?: number;
}

export function graphDriverConformance(
	name: string,
	open: () => Promise<DriverUnderTest>,
	{ layers = 128 }: ConformanceOptions = {},
): void {
	describe(`graph driver conformance: ${name}`, () => {
		let under: DriverUnderTest;
		let driver: GraphDriver;
		let made: string[] = [];
		let serial = 0;

		beforeAll(async () => {
			under = await open();
			driver = under.driver;
		});
		afterAll(async () => {
			await under[Symbol.asyncDispose]();
		});

		/** An id like dockerd's. */
		const newId = (): string => (++serial).toString(16).padStart(64, "a");
		async function create(
			parent: string,
			how: "create" | "createReadWrite" = "createReadWrite",
			id = newId(),
		) {
			await driver[how](id, parent);
			made.push(id);
			return id;
		}
		async function inside<T>(id: string, work: (root: string) => T): Promise<T> {
			const root = await driver.get(id);
			try {
				return work(root);
			} finally {
				await driver.put(id);
			}
		}
		afterEach(async () => {
			for (const id of made.reverse()) await driver.remove(id);
			made = [];
		});
		async function tarOf(id: string, parent: string): Promise<Buffer> {
			return buffer(await driver.diff(id, parent));
		}
		const kinds = async (id: string, parent: string) =>
			(await driver.changes(id, parent)).map(({ kind, path }) => `${kind} ${path.toString("latin1")}`).sort();

		it("makes an empty root of mode 0755", async () => {
			for (const how of ["create", "createReadWrite"] as const) {
				const id = await create("", how);
				expect(await driver.exists(id)).toBe(true);
				await inside(id, (root) => {
					const stat = lstatSync(root);
					expect([stat.mode & 0o7777, stat.uid, stat.gid]).toEqual([0o755, 0, 0]);
					expect(readdirSync(root)).toEqual([]);
				});
			}
		});

		it("keeps what was written, with modes and owners", async () => {
			const id = await create("");
			await inside(id, fillBase);
			await inside(id, checkBase);
			await driver.remove(id);
			expect(await driver.exists(id)).toBe(false);
		});

		it("starts a child from what the parent holds now, whichever is written afterwards", async () => {
			const base = await create("");
			await inside(base, fillBase);
			const first = await create(base, "create");
			await inside(first, checkBase);
			await inside(base, (root) => writeFileSync(path.join(root, "later"), "later"));
			const second = await create(base);
			await inside(first, (root) => {
				expect(existsSync(path.join(root, "later"))).toBe(false);
				writeFileSync(path.join(root, "a file"), "changed in the child");
			});
			await inside(second, (root) => {
				expect(readFileSync(path.join(root, "later"), "utf8")).toBe("later");
				checkBase(root, ["later"]);
			});
			await inside(base, (root) => checkBase(root, ["later"]));
		});

		it("starts a child from a parent that is mounted", async () => {
			const base = await create("");
			const root = await driver.get(base);
			fillBase(root);
			const child = await create(base);
			writeFileSync(path.join(root, "later"), "");
			appendFileSync(path.join(root, "a file"), " and more");
			await inside(child, checkBase);
			expect(await kinds(child, base)).toContain("D /later");
			await driver.put(base);
		});

		it("reads through many layers", async () => {
			let top = await create("");
			await inside(top, (root) => writeFileSync(path.join(root, "bottom"), "bottom"));
			for (let i = 0; i < layers; i++) {
				const next = await create(top, "create");
				await inside(next, (root) => {
					writeFileSync(path.join(root, "top-id"), next);
					mkdirSync(path.join(root, `layer-${i}`));
					writeFileSync(path.join(root, `layer-${i}`, "layer-id"), next);
					writeFileSync(path.join(root, `layer-${i}`, "parent-id"), top);
				});
				top = next;
			}
			await inside(top, (root) => {
				expect(readFileSync(path.join(root, "bottom"), "utf8")).toBe("bottom");
				let expected = readFileSync(path.join(root, "top-id"), "utf8");
				for (let i = layers - 1; i >= 0; i--) {
					expect(readFileSync(path.join(root, `layer-${i}`, "layer-id"), "utf8")).toBe(expected);
					expected = readFileSync(path.join(root, `layer-${i}`, "parent-id"), "utf8");
				}
			});
		}, 120_000);

		it("applies a diff to the same tree, and knows its size", async () => {
			const base = await create("", "create");
			await inside(base, (root) => {
				addFiles(root, 250, 3);
				writeFileSync(path.join(root, "removed"), "This file goes in the upper.");
				mkdirSync(path.join(root, "var/lib"), { recursive: true });
			});
			const upper = await create(base, "create");
			await inside(upper, (root) => {
				addFiles(root, 250, 6);
				rmSync(path.join(root, "removed"));
				rmSync(path.join(root, "var/lib"), { recursive: true });
			});
			const sizes = [await driver.diffSize(upper, base), await driver.diffSize(upper, "")];
			const copy = await create(base, "create");
			await inside(copy, (root) => checkFiles(root, 250, 3));
			const tar = await tarOf(upper, base);
			const applied = await driver.applyDiff(copy, base, Readable.from([tar]));
			expect(sizes).toEqual([applied, applied]);
			await inside(copy, (root) => {
				checkFiles(root, 250, 6);
				expect(existsSync(path.join(root, "removed"))).toBe(false);
				expect(readdirSync(path.join(root, "var"))).toEqual([]);
			});
			await inside(base, (root) => checkFiles(root, 250, 3));
			expect(await kinds(copy, upper)).toEqual([]);
		});

		it("feeds a diff into an applyDiff at the same time", async () => {
			const base = await create("");
			await inside(base, (root) => addFiles(root, 50, 1));
			const pairs = await Promise.all(
				Array.from({ length: 6 }, async (_, i) => {
					const from = await create(base);
					await inside(from, (root) => writeFileSync(path.join(root, "big"), Buffer.alloc(3 << 20, i + 1)));
					const to = await create(base, "create");
					return { from, to };
				}),
			);
			await Promise.all(
				pairs.map(async ({ from, to }) => driver.applyDiff(to, base, await driver.diff(from, base))),
			);
			for (const [i, { to }] of pairs.entries()) {
				await inside(to, (root) =>
					expect(readFileSync(path.join(root, "big")).equals(Buffer.alloc(3 << 20, i + 1))).toBe(true),
				);
			}
		});

		it("lists changes as docker diff does", async () => {
			const base = await create("");
			await inside(base, (root) => {
				addFiles(root, 20, 3);
				// So that a directory's new mtime can be told from the old one.
				utimesSync(path.join(root, "directory-0"), 1, 1);
			});
			const upper = await create(base);
			expect(await kinds(upper, base)).toEqual([]);
			await inside(upper, (root) => {
				writeFileSync(path.join(root, "directory-0/file-0"), "changed");
				writeFileSync(path.join(root, "directory-0/file-new"), "new");
				rmSync(path.join(root, "directory-0/file-1"));
				mkdirSync(path.join(root, "fresh"));
			});
			expect(await kinds(upper, base)).toEqual([
				"A /directory-0/file-new",
				"A /fresh",
				"C /directory-0",
				"C /directory-0/file-0",
				"D /directory-0/file-1",
			]);
			const child = await create(upper);
			expect(await kinds(child, upper)).toEqual([]);
			expect(await kinds(upper, base)).toHaveLength(5);
			expect(await kinds(child, base)).toHaveLength(5);
		});

		it("never touches a file that layers share", async () => {
			const base = await create("", "create");
			const source = await create("");
			await inside(source, (root) => {
				writeFileSync(path.join(root, "shared"), "shared");
				chmodSync(path.join(root, "shared"), 0o600);
				utimesSync(path.join(root, "shared"), 1000, 1000);
			});
			await driver.applyDiff(base, "", Readable.from([await tarOf(source, "")]));
			const before = await inside(base, (root) => fileFacts(path.join(root, "shared")));
			// A layer with a second name for the parent's file, and then new facts for it.
			const writer = await create(base);
			await inside(writer, (root) => {
				linkSync(path.join(root, "shared"), path.join(root, "alias"));
				chmodSync(path.join(root, "alias"), 0o4755);
				chownSync(path.join(root, "alias"), 7, 8);
			});
			const child = await create(base, "create");
			await driver.applyDiff(child, base, Readable.from([await tarOf(writer, base)]));
			await inside(child, (root) => {
				expect(fileFacts(path.join(root, "alias"))).toMatchObject({ uid: 7, gid: 8 });
			});
			expect(await inside(base, (root) => fileFacts(path.join(root, "shared")))).toEqual(before);
		});

		it("counts gets and puts, and gives the same path", async () => {
			const base = await create("");
			const id = await create(base);
			await inside(base, () => undefined);
			const first = await driver.get(id);
			expect(await driver.get(id)).toBe(first);
			writeFileSync(path.join(first, "x"), "");
			await driver.put(id);
			expect(existsSync(path.join(first, "x"))).toBe(true);
			await driver.put(id);
			expect(mountPoints().filter((point) => point.startsWith(under.home))).toEqual([]);
			await driver.put(id);
			await driver.put("never-got");
			expect(await driver.get(id)).toBe(first);
			await driver.put(id);
		});

		it("answers for layers that do not exist", async () => {
			expect(await driver.exists("nothing")).toBe(false);
			await expect(driver.get("nothing")).rejects.toMatchObject({ code: "ENOTFOUND" });
			await expect(driver.createReadWrite(newId(), "nothing")).rejects.toMatchObject({ code: "ENOTFOUND" });
			await expect(driver.metadata("nothing")).rejects.toMatchObject({ code: "ENOTFOUND" });
			await expect(driver.diff("nothing", "")).rejects.toMatchObject({ code: "ENOTFOUND" });
			await expect(driver.changes("nothing", "")).rejects.toMatchObject({ code: "ENOTFOUND" });
			await driver.remove("nothing");
			const id = await create("");
			await expect(driver.create(id, "")).rejects.toMatchObject({ code: "EEXISTS" });
		});

		it("refuses ids that are no ids, and options that it does not know, by name", async () => {
			for (const id of [".", "..", "a/b", "../x", "\0"]) {
				await expect(driver.create(id, "")).rejects.toMatchObject({ code: "EINVALID" });
				await expect(driver.remove(id)).rejects.toMatchObject({ code: "EINVALID" });
			}
			await expect(driver.remove("")).rejects.toThrow();
			const id = newId();
			await expect(driver.createReadWrite(id, "", { storageOpt: { size: "1G" } })).rejects.toThrow(/size/);
			expect(await driver.exists(id)).toBe(false);
		});

		it("leaves no mount behind when it is cleaned up", async () => {
			const base = await create("");
			await inside(base, fillBase);
			const id = await create(base);
			await driver.get(id);
			await driver.get(id);
			await driver.cleanup();
			expect(mountPoints().filter((point) => point.startsWith(under.home))).toEqual([]);
			await inside(id, checkBase);
		});

		it("tells where a layer's files are", async () => {
			const base = await create("", "create");
			await driver.applyDiff(base, "", Readable.from([Buffer.alloc(1024)]));
			const id = await create(base);
			const { RootDir, UpperDir } = await driver.metadata(base);
			const metadata = await driver.metadata(id);
			expect(Object.keys(metadata).sort()).toEqual(["LowerDir", "MergedDir", "UpperDir", "WorkDir"]);
			expect(metadata.LowerDir).toBe(RootDir ?? UpperDir);
			expect(await driver.get(id)).toBe(metadata.MergedDir);
			await driver.put(id);
		});
	});
}

function fillBase(root: string): void {
	const before = process.umask(0);
	try {
		const directory = path.join(root, "a subdir");
		mkdirSync(directory);
		chmodSync(directory, 0o1705);
		chownSync(directory, 1, 2);
		writeFileSync(path.join(root, "a file"), "Some data");
		chmodSync(path.join(root, "a file"), 0o4222);
	} finally {
		process.umask(before);
	}
}

function checkBase(root: string, more: readonly string[] = []): void {
	expect(readdirSync(root).sort()).toEqual(["a file", "a subdir", ...more]);
	const directory = lstatSync(path.join(root, "a subdir"));
	expect([directory.mode & 0o7777, directory.uid, directory.gid]).toEqual([0o1705, 1, 2]);
	const file = lstatSync(path.join(root, "a file"));
	expect([file.mode & 0o7777, file.uid, file.gid]).toEqual([0o4222, 0, 0]);
	expect(readFileSync(path.join(root, "a file"), "utf8")).toBe("Some data");
}

function addFiles(root: string, count: number, seed: number): void {
	for (let i = 0; i < count; i++) {
		const directory = path.join(root, `directory-${Math.floor(i / 100)}`);
		mkdirSync(directory, { recursive: true });
		writeFileSync(path.join(directory, `file-${i}`), contentOf(seed, i));
	}
}

function checkFiles(root: string, count: number, seed: number): void {
	for (let i = 0; i < count; i++) {
		const file = path.join(root, `directory-${Math.floor(i / 100)}`, `file-${i}`);
		if (!readFileSync(file).equals(contentOf(seed, i))) throw new Error(`${file} has other content`);
	}
}

function contentOf(seed: number, i: number): Buffer {
	return Buffer.from(`${seed}:${i}:`.padEnd(64, "x"));
}

function fileFacts(file: string): object {
	const { mode, uid, gid, mtimeMs, size } = lstatSync(file);
	return { mode, uid, gid, mtimeMs, size, content: readFileSync(file, "utf8") };
}
