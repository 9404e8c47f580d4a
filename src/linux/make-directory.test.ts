import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { makeDirectory } from "./index.ts";

let base: string;
beforeEach(() => {
	base = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const modeOf = (directory: string): number => statSync(directory).mode & 0o777;

it("makes a directory and the parents that are missing, and leaves what is there as it is", () => {
	const at = (name: string): string => path.join(base, name);
	mkdirSync(at("old"), 0o755);
	expect(makeDirectory(at("old/b/c"), 0o700)).toBe(true);
	expect(["old", "old/b", "old/b/c"].map((name) => modeOf(at(name)))).toEqual([0o755, 0o700, 0o700]);
	expect(makeDirectory(at("old"), 0o700)).toBe(false);
	symlinkSync("old", at("link"));
	expect(makeDirectory(at("link/d"), 0o700)).toBe(true);
	expect(modeOf(at("old"))).toBe(0o755);
});

it.each([
	["below procfs, which takes none", () => "/proc/lamella/a/b", /\/proc takes no directories/],
	["where a file is", () => path.join(base, "file"), /file is in the way: it has to be a directory/],
	["below a file", () => path.join(base, "file/a/b"), /file is in the way: it has to be a directory/],
	["where a link leads nowhere", () => path.join(base, "dangling/a"), /dangling is in the way/],
])("refuses a directory %s, at once", (_, place, message) => {
	writeFileSync(path.join(base, "file"), "");
	symlinkSync("/nowhere/at/all", path.join(base, "dangling"));
	const make = (): unknown => makeDirectory(place(), 0o700);
	expect(make).toThrow(message);
	expect(make).toThrow(expect.objectContaining({ code: "ECONFIG" }));
});
