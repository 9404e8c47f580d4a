/** What commands that are called often load of Node: their start time is that (docs/decisions/0006). */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeDirectory, type TestFilesystem } from "../support/filesystems.ts";
import { CLI } from "../support/lamella.ts";
import { run } from "../support/processes.ts";

let directory: TestFilesystem;
let root: string;
beforeAll(() => {
	directory = makeDirectory("lamella-start-");
	root = path.join(directory.path, "root");
	run(process.execPath, [CLI, "--root", root, "create", "layer"]);
	run(process.execPath, [CLI, "--root", root, "commit", "layer", "image:1"]);
});
afterAll(() => directory[Symbol.dispose]());

/** The builtin modules that a command loads beyond those of an empty process, without internal ones. */
function loadedBy(...words: readonly string[]): readonly string[] {
	const preload = path.join(directory.path, "preload.cjs");
	const list = path.join(directory.path, "list");
	writeFileSync(
		preload,
		`const before = new Set(process.moduleLoadList);
		process.on("exit", () => {
			const loaded = process.moduleLoadList.filter((name) => !before.has(name));
			require("node:fs").writeFileSync(${JSON.stringify(list)}, loaded.join("\\n"));
		});`,
	);
	run(process.execPath, ["--require", preload, CLI, "--root", root, ...words]);
	return readFileSync(list, "utf8")
		.split("\n")
		.filter((name) => name.startsWith("NativeModule ") && !name.includes("internal/"))
		.map((name) => name.slice("NativeModule ".length))
		.sort();
}

test("lists load the database and no streams, crypto, threads or network", () => {
	for (const list of ["images", "layers", "tree"]) {
		expect(loadedBy(list)).toEqual(["module", "sqlite", "timers/promises"]);
		expect(loadedBy(list, "--json")).toEqual(["module", "sqlite", "timers/promises"]);
	}
});

test("the version is printed without streams", () => {
	expect(loadedBy("version")).toEqual(["os"]);
});
