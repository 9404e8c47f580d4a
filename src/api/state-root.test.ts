import { afterEach, expect, test, vi } from "vitest";
import { stateRoot } from "./state-root.ts";

afterEach(() => vi.unstubAllEnvs());

test("the state root is what is given, else what the environment says, else the default", () => {
	vi.stubEnv("LAMELLA_ROOT", undefined);
	expect(stateRoot(undefined)).toBe("/var/lib/lamella");
	vi.stubEnv("LAMELLA_ROOT", "/env");
	expect(stateRoot(undefined)).toBe("/env");
	expect(stateRoot("/given")).toBe("/given");
});

test("an empty state root is refused, wherever it comes from", () => {
	expect(() => stateRoot("")).toThrow(expect.objectContaining({ code: "ECONFIG" }));
	vi.stubEnv("LAMELLA_ROOT", "");
	expect(() => stateRoot(undefined)).toThrow("LAMELLA_ROOT is empty");
	expect(stateRoot("/given")).toBe("/given");
});
