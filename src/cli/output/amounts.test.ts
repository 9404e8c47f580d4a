import fc from "fast-check";
import { expect, test } from "vitest";
import { age, counted, humanDuration, humanSize } from "./amounts.ts";

test.each([
	[0, "0 B"],
	[999, "999 B"],
	[1000, "1.00 kB"],
	[1024, "1.02 kB"],
	[9_994, "9.99 kB"],
	[9_996, "10.0 kB"],
	[99_960, "100 kB"],
	[999_499, "999 kB"],
	[999_500, "1.00 MB"],
	[1_360_000_000, "1.36 GB"],
	[5e18, "5000 PB"],
])("%d bytes are %s", (sizeBytes, text) => {
	expect(humanSize(sizeBytes)).toBe(text);
});

test("a size below a million petabytes has three digits at most and keeps its order", () => {
	fc.assert(
		fc.property(fc.nat(), (sizeBytes) => {
			const [digits = "", unit] = humanSize(sizeBytes).split(" ");
			expect(digits.replace(".", "").length).toBeLessThanOrEqual(3);
			const factor = 1000 ** ["B", "kB", "MB", "GB"].indexOf(unit ?? "");
			expect(Math.abs(Number(digits) * factor - sizeBytes)).toBeLessThanOrEqual(sizeBytes * 0.006);
		}),
	);
});

test.each([
	[-5_000, "just now"],
	[0, "just now"],
	[1_000, "1 second ago"],
	[59_999, "59 seconds ago"],
	[60_000, "1 minute ago"],
	[3 * 3_600_000, "3 hours ago"],
	[86_400_000 * 6, "6 days ago"],
	[86_400_000 * 13, "1 week ago"],
	[86_400_000 * 800, "2 years ago"],
])("what is %d ms old was made %s", (ms, text) => {
	expect(age(1_000_000_000_000 - ms, 1_000_000_000_000)).toBe(text);
});

test("durations and counts", () => {
	expect(humanDuration(420)).toBe("0.42 s");
	expect(humanDuration(12_100)).toBe("12.1 s");
	expect(humanDuration(125_000)).toBe("2 min 5 s");
	expect(counted(1, "layer")).toBe("1 layer");
	expect(counted(2, "layer")).toBe("2 layers");
});
