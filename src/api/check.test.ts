/**
 * Every kind of damage that a check knows, made one by one in a copy of a store: the check finds it and nothing else, a repair
 * brings back what can be, and no committed layer is lost by one.
 */
import fs from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeFilesystem, type TestFilesystem } from "../../test/support/filesystems.ts";
import { makeLayeredImage } from "../../test/support/layered-image.ts";
import { run } from "../../test/support/processes.ts";
import { openStore, type Store } from "../index.ts";
import * as linux from "../linux/index.ts";
import { FINDING_KINDS } from "../store/checking/finding-kinds.ts";

const DRIVERS = ["packed", "overlay"] as const;
type Made = (typeof DRIVERS)[number];

let disk: TestFilesystem;
const pristine = (driver: Made): string => path.join(disk.path, driver);

beforeAll(async () => {
	disk = makeFilesystem("ext4", 512 * 2 ** 20);
	const archive = path.join(disk.path, "image.tar");
	makeLayeredImage(archive, { layers: 3, name: "test/check:1" });
	for (const driver of DRIVERS) {
		await using store = await openStore({ root: pristine(driver), driver });
		await store.importImage(archive);
		await store.create("work", { from: "test/check:1" });
		{
			await using mount = await store.mount("work");
			fs.writeFileSync(path.join(mount.path, "new"), "in the container\n");
			fs.mkdirSync(path.join(mount.path, "gone-and-back"));
		}
		await store.commit("work", "test/committed:1");
		const top = store.image("test/committed:1").layers.at(-1)?.layer ?? "";
		await store.layerStore.flatten(store.layer(top).id);
		for (const { id, kind } of store.layers()) if (kind === "committed") await store.layerStore.usage(id);
	}
});
afterAll(() => disk?.[Symbol.dispose]());

interface Place {
	readonly root: string;
	readonly store: Store;
	/** Directories: of the image's layers, bottom first, and of the committed one over them. */
	readonly layers: readonly string[];
	readonly top: string;
	readonly work: string;
	readonly sql: (statement: string, ...values: string[]) => void;
}

interface Damage {
	readonly kind: string;
	readonly what: string;
	readonly only?: Made;
	readonly make: (place: Place) => void;
	/** It cannot be repaired. */
	readonly stays?: boolean;
	/** Needs all that layers hold to be read. */
	readonly deep?: boolean;
	/** What else is wrong then. */
	readonly also?: readonly string[];
}

const document = (root: string): string =>
	path.join(root, "documents", fs.readdirSync(path.join(root, "documents"))[0] as string);
const recordFile = (root: string): string => {
	const directory = path.join(root, "records/images");
	return path.join(directory, fs.readdirSync(directory)[0] as string);
};
const edit = (file: string, change: (text: string) => string): void =>
	fs.writeFileSync(file, change(fs.readFileSync(file, "utf8")));
const removeRow = ({ sql }: Place, directory: string): void =>
	sql("DELETE FROM layers WHERE n = ?", path.basename(directory));

const DAMAGES: readonly Damage[] = [
	{
		kind: "record-damaged",
		what: "a row that is cut off",
		make: ({ sql, top }) =>
			sql("UPDATE layers SET record = substr(record, 1, 40) WHERE n = ?", path.basename(top)),
	},
	{
		kind: "record-damaged",
		what: "a row with another layer's record",
		make: ({ sql, top, work }) =>
			sql(
				"UPDATE layers SET record = (SELECT record FROM layers WHERE n = ?2) WHERE n = ?1",
				path.basename(top),
				path.basename(work),
			),
	},
	{
		kind: "record-lost",
		what: "a row and the layer.json of its layer are cut off",
		make: ({ sql, work }) => {
			sql("UPDATE layers SET record = '{' WHERE n = ?", path.basename(work));
			fs.truncateSync(path.join(work, "layer.json"));
		},
	},
	{
		kind: "depth-wrong",
		what: "a row that counts one layer too many below",
		make: ({ sql, work }) =>
			sql(
				"UPDATE layers SET record = json_set(record, '$.depth', json_extract(record, '$.depth') + 1) WHERE n = ?",
				path.basename(work),
			),
	},
	{
		kind: "record-outdated",
		what: "a row that is older than layer.json",
		make: ({ sql, top }) =>
			sql(
				"UPDATE layers SET record = json_set(record, '$.updatedAtNs', '1', '$.labels', json('{}')) WHERE n = ?",
				path.basename(top),
			),
	},
	{
		kind: "data-missing",
		what: "a committed layer's directory is gone",
		make: ({ top }) => fs.rmSync(top, { recursive: true }),
		stays: true,
	},
	{
		kind: "writable-lost",
		what: "a writable layer's directory is gone",
		make: ({ work }) => fs.rmSync(work, { recursive: true }),
	},
	{
		kind: "directory-unknown",
		what: "a committed layer that lost its row",
		make: (place) => removeRow(place, place.top),
		also: ["image-damaged"],
	},
	{
		kind: "directory-unknown",
		what: "a directory of nobody's",
		make: ({ root }) => fs.mkdirSync(path.join(root, "layers/zzzzzz0")),
	},
	{
		kind: "layer-set-aside",
		what: "a committed layer in lost+found",
		make: (place) => {
			removeRow(place, place.top);
			const lost = path.join(place.root, "lost+found");
			fs.mkdirSync(lost);
			fs.renameSync(place.top, path.join(lost, path.basename(place.top)));
		},
		also: ["image-damaged"],
	},
	{
		kind: "leftover",
		what: "what a killed process was making",
		make: ({ root }) => fs.mkdirSync(path.join(root, "staging/zzzzzz/zzzzzz1"), { recursive: true }),
	},
	{
		kind: "leftover",
		what: "what a killed process was deleting",
		make: ({ root }) => fs.mkdirSync(path.join(root, "trash/zzzzzz1"), { recursive: true }),
	},
	{
		kind: "sidecar-missing",
		what: "layer.json is gone",
		make: ({ top }) => fs.rmSync(path.join(top, "layer.json")),
	},
	{
		kind: "sidecar-damaged",
		what: "layer.json is empty",
		make: ({ top }) => fs.truncateSync(path.join(top, "layer.json")),
	},
	{
		kind: "sidecar-differs",
		what: "layer.json has another label",
		make: ({ top }) =>
			edit(path.join(top, "layer.json"), (text) =>
				text.replace(/"labels": \{/, '"labels": {"a": "b", ').replace(/, \}/, "}"),
			),
	},
	{
		kind: "record-file-missing",
		what: "an image's record has no file",
		make: ({ root }) => fs.rmSync(recordFile(root)),
	},
	{
		kind: "record-file-differs",
		what: "an image's record has a file that is cut off",
		make: ({ root }) => fs.truncateSync(recordFile(root), 20),
	},
	{
		kind: "record-file-differs",
		what: "an image's record has a file that says something else",
		make: ({ root }) =>
			edit(recordFile(root), (text) => text.replace(/"importedAtMs":\d+/, '"importedAtMs":1')),
	},
	{
		kind: "record-unknown",
		what: "an image lost its record and kept the file",
		make: ({ sql }) => {
			const first =
				"namespace = 'images' AND key = (SELECT min(key) FROM records WHERE namespace = 'images')";
			sql(`DELETE FROM record_documents WHERE ${first}`);
			sql(`DELETE FROM records WHERE ${first}`);
		},
		also: ["image-name-wrong"],
	},
	{
		kind: "document-missing",
		what: "a document is gone",
		make: ({ root }) => fs.rmSync(document(root)),
		stays: true,
	},
	{
		kind: "document-damaged",
		what: "a document was changed",
		make: ({ root }) => edit(document(root), (text) => `${text} `),
		stays: true,
	},
	{
		kind: "image-damaged",
		what: "an image's record is no longer one",
		make: ({ sql, root }) => {
			sql("UPDATE records SET value = json_remove(value, '$.layers') WHERE namespace = 'images'");
			for (const name of fs.readdirSync(path.join(root, "records/images")))
				edit(path.join(root, "records/images", name), (text) => {
					const { value, ...rest } = JSON.parse(text) as { key: string; value: object; documents: string[] };
					return JSON.stringify({
						key: rest.key,
						value: { ...value, layers: undefined },
						documents: rest.documents,
					});
				});
		},
		also: ["image-name-wrong"],
		stays: true,
	},
	{
		kind: "image-name-wrong",
		what: "a name leads nowhere",
		make: ({ sql, root }) => {
			sql(
				"UPDATE records SET value = '\"no such image\"' WHERE namespace = 'image-names' AND key = 'test/check:1'",
			);
			const directory = path.join(root, "records/image-names");
			for (const name of fs.readdirSync(directory)) {
				edit(path.join(directory, name), (text) => {
					const record = JSON.parse(text) as { key: string; value: string };
					return JSON.stringify(
						record.key === "test/check:1" ? { ...record, value: "no such image" } : record,
					);
				});
			}
		},
	},
	{
		kind: "content-missing",
		what: "diff/ is gone",
		make: ({ top }) => fs.rmSync(path.join(top, "diff"), { recursive: true }),
		stays: true,
	},
	{
		kind: "content-missing",
		what: "layer.tar is gone",
		only: "packed",
		make: ({ layers }) => fs.rmSync(path.join(layers[1] as string, "layer.tar")),
		stays: true,
	},
	{
		kind: "content-missing",
		what: "layer.index is gone",
		only: "packed",
		make: ({ layers }) => fs.rmSync(path.join(layers[1] as string, "layer.index")),
		stays: true,
	},
	{
		kind: "content-damaged",
		what: "layer.tar is cut short",
		only: "packed",
		make: ({ layers }) => fs.truncateSync(path.join(layers[0] as string, "layer.tar"), 512),
		stays: true,
	},
	{
		kind: "content-damaged",
		what: "layer.index has another byte",
		only: "packed",
		make: ({ layers }) => {
			const file = path.join(layers[0] as string, "layer.index");
			const bytes = fs.readFileSync(file);
			bytes[bytes.length - 9] = (bytes.at(-9) as number) ^ 1;
			fs.rmSync(file);
			fs.writeFileSync(file, bytes, { mode: 0o400 });
		},
		stays: true,
	},
	{
		kind: "content-damaged",
		what: "layer.tar has another byte, and the time that it had",
		only: "packed",
		deep: true,
		make: ({ layers }) => {
			const file = path.join(layers[0] as string, "layer.tar");
			const { atimeNs, mtimeNs } = linux.fstatat(linux.AT_FDCWD, file);
			const fd = fs.openSync(file, "r+");
			fs.writeSync(fd, "!", 600);
			fs.closeSync(fd);
			linux.utimensat(linux.AT_FDCWD, file, atimeNs, mtimeNs);
		},
		stays: true,
	},
	{
		kind: "content-rewritten",
		what: "a file was written behind the store's back",
		only: "overlay",
		deep: true,
		make: ({ top }) => fs.appendFileSync(path.join(top, "diff/new"), "more\n"),
		stays: true,
	},
	{
		kind: "marks-misread",
		what: "a directory says that it is elsewhere",
		deep: true,
		make: ({ top }) =>
			linux.lsetxattrAt(
				linux.AT_FDCWD,
				path.join(top, "diff/gone-and-back"),
				"trusted.overlay.redirect",
				Buffer.from("/etc"),
			),
		stays: true,
	},
	{
		kind: "marks-misread",
		what: "a directory is opaque in no way that overlayfs knows",
		deep: true,
		make: ({ top }) =>
			linux.lsetxattrAt(
				linux.AT_FDCWD,
				path.join(top, "diff/gone-and-back"),
				"trusted.overlay.opaque",
				Buffer.from("yes"),
			),
		stays: true,
	},
	{
		kind: "derived-missing",
		what: "a root is gone",
		only: "overlay",
		make: ({ top }) => fs.rmSync(path.join(top, "root"), { recursive: true }),
	},
	{
		kind: "derived-missing",
		what: "a fold is gone",
		only: "packed",
		make: ({ top }) => fs.rmSync(path.join(top, "fold"), { recursive: true }),
	},
	{
		kind: "derived-left",
		what: "a root was made and never recorded",
		make: ({ work }) => fs.mkdirSync(path.join(work, "root")),
	},
	{
		kind: "derived-damaged",
		what: "an image is a directory",
		only: "packed",
		make: ({ layers }) => {
			const image = path.join(layers[2] as string, "root.erofs");
			fs.rmSync(image);
			fs.mkdirSync(image);
		},
	},
	{
		kind: "derived-damaged",
		what: "an image has another byte",
		only: "packed",
		deep: true,
		make: ({ layers }) => {
			const fd = fs.openSync(path.join(layers[2] as string, "root.erofs"), "r+");
			fs.writeSync(fd, "!", 1100);
			fs.closeSync(fd);
		},
	},
	{
		kind: "derived-damaged",
		what: "a file is missing in a root",
		only: "overlay",
		deep: true,
		make: ({ top }) => fs.rmSync(path.join(top, "root/new")),
	},
	{
		kind: "derived-damaged",
		what: "a root has one file more",
		only: "overlay",
		deep: true,
		make: ({ top }) => fs.writeFileSync(path.join(top, "root/more"), ""),
	},
	{
		kind: "derived-damaged",
		what: "a directory of a root has another mode",
		only: "overlay",
		deep: true,
		make: ({ top }) => fs.chmodSync(path.join(top, "root/gone-and-back"), 0o777),
	},
	{
		kind: "usage-wrong",
		what: "a layer takes more than was counted",
		deep: true,
		make: ({ sql, top }) =>
			sql(
				"UPDATE layers SET record = json_set(record, '$.usage.inodes', 999) WHERE n = ?",
				path.basename(top),
			),
	},
];

let copies = 0;

/** A copy of the store that a damage was done to, and is not open. */
async function damagedCopy(driver: Made, make: Damage["make"]): Promise<string> {
	const root = path.join(disk.path, `copy-${copies++}`);
	run("cp", ["-a", pristine(driver), root]);
	let place: Place;
	const database = new DatabaseSync(path.join(root, "metadata/lamella.db"));
	{
		await using store = await openStore({ root, readOnly: true });
		const layers = store.image("test/check:1").layers.map(({ layer }) => store.layer(layer).directory);
		const top = store.layer(store.image("test/committed:1").layers.at(-1)?.layer ?? "").directory;
		const sql = (statement: string, ...values: string[]): void => {
			database.prepare(statement).run(...values);
		};
		place = { root, store, layers, top, work: store.layer("work").directory, sql };
	}
	make(place);
	database.close();
	return root;
}

async function kindsIn(root: string, deep: boolean | undefined): Promise<string[]> {
	await using store = await openStore({ root, readOnly: true });
	const { findings } = await store.check([], { deep });
	return [...new Set(findings.map(({ kind }) => kind))].sort();
}

const CASES = DRIVERS.flatMap((driver) =>
	DAMAGES.filter(({ only }) => only === undefined || only === driver).map((damage) => ({
		driver,
		...damage,
	})),
);

test.each(DRIVERS)("nothing is wrong with a sound store of %s", async (driver) => {
	const root = await damagedCopy(driver, () => undefined);
	expect(await kindsIn(root, true)).toEqual([]);
	fs.rmSync(root, { recursive: true });
});

test.each(CASES)("$driver: $kind: $what", async ({ driver, kind, make, deep, stays = false, also = [] }) => {
	const root = await damagedCopy(driver, make);
	const seen = await kindsIn(root, deep);
	expect(seen).toEqual([kind, ...also].sort());
	{
		await using store = await openStore({ root });
		const { findings } = await store.check([], { deep, repair: true });
		expect(findings.flatMap(({ failure }) => failure ?? [])).toEqual([]);
	}
	const left = await kindsIn(root, deep);
	if (stays) expect(left).toContain(kind);
	else expect(left).toEqual([]);
	if (!stays) {
		await using store = await openStore({ root });
		expect(store.images().map(({ names }) => names[0])).toEqual(["test/check:1", "test/committed:1"]);
		await store.create("after", { from: "test/committed:1" });
		await using mount = await store.mount("after");
		expect(fs.readFileSync(path.join(mount.path, "new"), "utf8")).toBe("in the container\n");
	}
	fs.rmSync(root, { recursive: true });
});

test("a deep check tells how much of the content it has read, up to all of it", async () => {
	for (const driver of DRIVERS) {
		await using store = await openStore({ root: pristine(driver), readOnly: true });
		const seen: [done: number, total: number][] = [];
		await store.check([], { deep: true, onProgress: (done, total) => seen.push([done, total]) });
		expect(seen.length).toBeGreaterThan(0);
		expect(seen.map(([done]) => done)).toEqual(seen.map(([done]) => done).sort((a, b) => a - b));
		expect(seen.at(-1)?.[0]).toBe(seen.at(-1)?.[1]);
	}
});

test("of many files that were written, some are told one by one and the rest is counted", async () => {
	const root = await damagedCopy("overlay", ({ top }) => {
		for (let i = 0; i < 30; i++) fs.writeFileSync(path.join(top, `diff/written-${i}`), "");
	});
	await using store = await openStore({ root, readOnly: true });
	const { findings } = await store.check([], { deep: true });
	const written = findings.filter(({ kind }) => kind === "content-rewritten").map(({ message }) => message);
	expect(written).toHaveLength(21);
	expect(written.at(-1)).toMatch(/10 more like these/);
});

test("a layer whose parent is gone from the database is told", async () => {
	const root = await damagedCopy("overlay", (place) => {
		place.sql("UPDATE layers SET parent = NULL WHERE n = ?", path.basename(place.top));
		place.sql("UPDATE layers SET parent = NULL WHERE n = ?", path.basename(place.work));
		removeRow(place, place.layers[2] as string);
		fs.rmSync(place.layers[2] as string, { recursive: true });
	});
	expect(await kindsIn(root, false)).toEqual(["image-damaged", "parent-missing"]);
	fs.rmSync(root, { recursive: true });
});

test("mounts that nobody counts, and counts of mounts that are gone, are told", async () => {
	const root = await damagedCopy("overlay", () => undefined);
	await using store = await openStore({ root });
	const mount = await store.mount("work");
	linux.umount2(mount.path);
	const strange = path.join(root, "mounts/zzzzzz9");
	fs.mkdirSync(strange);
	run("mount", ["-t", "tmpfs", "none", strange]);
	const fd = fs.openSync(path.join(strange, "file"), "w");
	const found = async (repair: boolean): Promise<string[]> => {
		const { findings } = await store.check([], { repair });
		return findings.map(({ kind, repaired, message, failure }) => {
			expect(message.includes(`pid ${process.pid}`)).toBe(failure !== undefined || kind === "mount-unknown");
			return `${kind} ${repaired}`;
		});
	};
	expect(await found(false)).toEqual(["mount-unknown false", "hold-without-mount false"]);
	// It is in use.
	expect(await found(true)).toEqual(["mount-unknown false", "hold-without-mount true"]);
	fs.closeSync(fd);
	const { findings } = await store.check([], { repair: true });
	expect(findings.map(({ kind, repaired }) => [kind, repaired])).toEqual([["mount-unknown", true]]);
	expect(await kindsIn(root, false)).toEqual([]);
});

test("docs/reliability.md has every kind of damage with what it means and what becomes of it", () => {
	const page = fs.readFileSync(path.join(import.meta.dirname, "../../docs/reliability.md"), "utf8");
	const rows = Object.entries(FINDING_KINDS).map(
		([kind, { meaning, remedy, canRepair }]) =>
			`| \`${kind}\` | ${meaning} | ${canRepair ? "Repair: " : "To do: "}${remedy} |`,
	);
	expect(page).toContain(rows.join("\n"));
});

describe("a database that is", () => {
	const imagesOf = (store: Store): unknown =>
		store
			.images()
			.map(({ id, names, layers }) => ({ id, names, layers: layers.map(({ diffId }) => diffId) }));

	async function expectBack(root: string): Promise<void> {
		await using whole = await openStore({ root: pristine("packed"), readOnly: true });
		{
			await using store = await openStore({ root });
			await store.check([], { repair: true });
			expect(imagesOf(store)).toEqual(imagesOf(whole));
		}
		expect(await kindsIn(root, false)).toEqual([]);
		fs.rmSync(root, { recursive: true });
	}

	test("deleted is told by a check, and made again by a repair", async () => {
		const root = await damagedCopy("packed", () => undefined);
		fs.rmSync(path.join(root, "metadata"), { recursive: true });
		await expect(openStore({ root, readOnly: true })).rejects.toMatchObject({
			code: "ECORRUPT",
			message: expect.stringContaining("lamella check --repair"),
		});
		await expectBack(root);
	});

	test("zeroed is made again", async () => {
		const root = await damagedCopy("packed", () => undefined);
		for (const name of fs.readdirSync(path.join(root, "metadata"))) {
			const file = path.join(root, "metadata", name);
			fs.writeFileSync(file, Buffer.alloc(fs.statSync(file).size));
		}
		await expectBack(root);
	});

	test("truncated, at every 4 KiB, is made again", async () => {
		const whole = await damagedCopy("packed", () => undefined);
		const { size } = fs.statSync(path.join(whole, "metadata/lamella.db"));
		expect(size).toBeGreaterThan(8 * 4096);
		for (let at = 0; at < size; at += 4096) {
			const root = `${whole}-${at}`;
			run("cp", ["-a", whole, root]);
			fs.truncateSync(path.join(root, "metadata/lamella.db"), at);
			await expectBack(root);
		}
	});

	test("an older one is brought up to what was done since", async () => {
		const root = await damagedCopy("packed", () => undefined);
		const older = path.join(disk.path, "older");
		// As it was before the commit: the image's layers, the writable one, and one image.
		const archive = path.join(disk.path, "image.tar");
		fs.rmSync(root, { recursive: true });
		{
			await using store = await openStore({ root, driver: "packed" });
			await store.importImage(archive);
			await store.create("work", { from: "test/check:1" });
		}
		run("cp", ["-a", path.join(root, "metadata"), older]);
		let ids: unknown;
		{
			await using store = await openStore({ root });
			{
				await using mount = await store.mount("work");
				fs.writeFileSync(path.join(mount.path, "new"), "in the container\n");
			}
			await store.commit("work", "test/committed:1");
			ids = imagesOf(store);
		}
		fs.rmSync(path.join(root, "metadata"), { recursive: true });
		fs.renameSync(older, path.join(root, "metadata"));
		await using store = await openStore({ root });
		const { findings } = await store.check([], { repair: true });
		expect(findings.map(({ kind }) => kind)).toContain("layer-set-aside");
		expect(imagesOf(store)).toEqual(ids);
	});
});
