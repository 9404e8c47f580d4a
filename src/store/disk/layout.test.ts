import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { layoutAt, makeLayout } from "./layout.ts";

let base: string;
beforeEach(() => {
	base = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
});
afterEach(() => {
	rmSync(base, { recursive: true, force: true });
});

it("makes a state root with the parents that are missing, closed to others", () => {
	makeLayout(layoutAt(path.join(base, "a/b/store")));
	expect(statSync(path.join(base, "a/b/store/layers")).mode & 0o777).toBe(0o710);
	makeLayout(layoutAt(path.join(base, "a/b/store")));
});

it("refuses a place that takes no directories, and does not look for one for ever", () => {
	expect(() => makeLayout(layoutAt("/proc/lamella/store"))).toThrow(/takes no directories|no such file/);
});

it("refuses a file in the way", () => {
	writeFileSync(path.join(base, "store"), "");
	expect(() => makeLayout(layoutAt(path.join(base, "store")))).toThrow(/in the way/);
});
