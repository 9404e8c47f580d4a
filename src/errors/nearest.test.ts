import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nearest } from "./index.ts";

describe("what may have been meant", () => {
	it("is the nearest name, where one is near", () => {
		expect(nearest("wbe1", ["db", "web1", "web22"])).toBe("web1");
		expect(nearest("debian:dmo", ["debian:demo", "alpine:latest"])).toBe("debian:demo");
		expect(nearest("zzz", ["web1"])).toBeUndefined();
	});

	it("is the name itself where it is there", () => {
		fc.assert(
			fc.property(fc.array(fc.string({ minLength: 1 }), { minLength: 1 }), (names) => {
				for (const name of names) expect(nearest(name, names)).toBe(name);
			}),
		);
	});
});
