import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import * as linux from "./index.ts";

const ioClass = (): string =>
	execFileSync("ionice", ["-p", `${linux.gettid()}`], { encoding: "utf8" }).trim();

test("work that gives way to others at the disk has the idle class, and the thread has its own again after it", () => {
	const before = ioClass();
	expect(linux.withIdleIo(ioClass)).toBe("idle");
	expect(ioClass()).toBe(before);
	expect(() =>
		linux.withIdleIo(() => {
			throw new Error("failed");
		}),
	).toThrow("failed");
	expect(ioClass()).toBe(before);
});
