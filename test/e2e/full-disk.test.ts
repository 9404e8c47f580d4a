/** On a disk without a single block left, a store still answers, and what fills the disk can be removed. */

import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, rmSync, statfsSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { debianImage } from "../support/debian-image.ts";
import { fillDisk, makeDirectory, makeFilesystem, type TestFilesystem } from "../support/filesystems.ts";
import { lamella, tryLamella } from "../support/lamella.ts";
import { run } from "../support/processes.ts";
import { makeSmallImage, type SmallImage } from "../support/small-image.ts";

const MIB = 2 ** 20;

let directory: TestFilesystem;
let image: SmallImage;

beforeAll(() => {
	directory = makeDirectory("lamella-full-");
	image = makeSmallImage(directory.path);
});

afterAll(() => directory[Symbol.dispose]());

const at = (...names: string[]): string => path.join(directory.path, ...names);

function stagedIn(root: string): string[] {
	return ["staging", "trash"].flatMap((name) => readdirSync(path.join(root, name)));
}

describe.each([1024, 4096])("with a container that has filled a disk of blocks of %i bytes", (blockBytes) => {
	let disk: TestFilesystem;
	let root: string;

	beforeEach(() => {
		disk = makeFilesystem("ext4", 64 * MIB, { mkfs: ["-b", String(blockBytes)] });
		root = path.join(disk.path, "store");
		lamella(root, "import", image.archive, "--name", "box:1");
		lamella(root, "create", "web1", "box:1");
		fillDisk(lamella(root, "mount", "web1").trimEnd());
		return () => disk[Symbol.dispose]();
	});

	/** Fails with the one line that a person can do something with. */
	function fullFor(...words: string[]): void {
		const { code, stdout, stderr } = tryLamella(root, ...words);
		expect({ code, stdout }, stderr).toEqual({ code: 1, stdout: "" });
		const errors = stderr.split("\n").filter((line) => line !== "" && !line.startsWith("layer "));
		expect(errors, stderr).toHaveLength(1);
		expect(stderr).toMatch(/lamella: .*disk .*is full.*; make/);
		expect(stagedIn(root)).toEqual([]);
	}

	test("lists go on, and removing it gives the room back", () => {
		expect(lamella(root, "images", "-q")).toMatch(/^sha256:/);
		expect(lamella(root, "layers", "-q")).toContain("web1");
		expect(lamella(root, "status")).toMatch(/^Mounted: +1$/m);
		expect(lamella(root, "changes", "web1")).toBe("A /filler\n");
		lamella(root, "unmount", "web1");
		expect(lamella(root, "rm", "web1")).toBe("web1\n");
		expect(stagedIn(root)).toEqual([]);
		expect(statfsSync(disk.path).bavail).toBeGreaterThan(0);
		lamella(root, "create", "web2", "box:1");
		lamella(root, "rm", "web2");
		lamella(root, "rmi", "box:1");
		expect(readdirSync(path.join(root, "layers"))).toEqual([]);
	});

	test("what needs room says that there is none, as often as it is tried", () => {
		const output = path.join(disk.path, "out.tar");
		const large = at("large.tar");
		writeFileSync(at("large"), randomBytes(4 * MIB));
		run("tar", ["-C", directory.path, "-cf", large, "large"]);
		for (let i = 0; i < 2; i++) {
			fullFor("diff", "web1", "-o", output);
			fullFor("export", "box:1", output);
			fullFor("export", "box:1", at("elsewhere.tar"));
			fullFor("apply", "more", large);
		}
		expect(readdirSync(disk.path).sort()).toEqual(["lost+found", "store"]);
		expect(existsSync(at("elsewhere.tar"))).toBe(false);
		expect(readdirSync(directory.path).filter((name) => name.includes("partial"))).toEqual([]);
		lamella(root, "unmount", "web1");
		fullFor("commit", "web1", "box:2");
		lamella(root, "rm", "web1");
		lamella(root, "export", "box:1", at("elsewhere.tar"), "-q");
		expect(statSync(at("elsewhere.tar")).size).toBeGreaterThan(MIB);
		rmSync(at("elsewhere.tar"));
	});

	test("where others take the reserve as well, it works again once they have made room", () => {
		const filler = fillAll();
		expect(tryLamella(root, "create", "more").stderr).toMatch(/disk .*is full.*; make room/);
		expect(lamella(root, "images", "-q")).toMatch(/^sha256:/);
		filler.free();
		lamella(root, "unmount", "web1");
		lamella(root, "rm", "web1");
		expect(stagedIn(root)).toEqual([]);
	});

	function fillAll(): { free(): void } {
		for (const name of readdirSync(path.join(root, "reserve")))
			writeFileSync(path.join(root, "reserve", name), "");
		mkdirSync(path.join(disk.path, "other"), { recursive: true });
		return fillDisk(path.join(disk.path, "other"));
	}
});

test("a real image that the disk is too small for leaves it as it was", { timeout: 300_000 }, async () => {
	const debian = await debianImage("small");
	using disk = makeFilesystem("ext4", 128 * MIB);
	const root = path.join(disk.path, "store");
	lamella(root, "create", "some");
	lamella(root, "rm", "some");
	const before = statfsSync(disk.path);
	for (const archive of [debian.ociArchiveZstd, debian.ociLayoutGzip]) {
		const { code, stderr } = tryLamella(root, "import", archive, "--name", "debian:demo");
		expect(code).toBe(1);
		expect(stderr).toContain(`cannot import ${archive}: layer `);
		expect(stderr).toMatch(new RegExp(`disk is full.*; make room and try again \\(the store is in ${root}`));
		const after = statfsSync(disk.path);
		expect(after.bfree).toBeGreaterThan(before.bfree - 64);
		expect(after.ffree).toBe(before.ffree);
		expect([...stagedIn(root), ...readdirSync(path.join(root, "layers"))]).toEqual([]);
	}
	lamella(root, "import", image.archive, "--name", "box:1");
	expect(lamella(root, "run", lamella(root, "create", "web1", "box:1").trimEnd(), "--", "echo", "hi")).toBe(
		"hi\n",
	);
});
