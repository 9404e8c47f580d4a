import fc from "fast-check";
import { expect, test } from "vitest";
import { checkIdMap, formatIdMap, hostRoot, parseIdMapLabel, toContainer, toHost } from "./index.ts";

const ranges = [
	{ containerId: 0, hostId: 100_000, size: 1000 },
	{ containerId: 1000, hostId: 5, size: 1 },
	{ containerId: 2000, hostId: 300_000, size: 65_536 },
];

test("ids go through the range that covers them, and back", () => {
	expect([0, 999, 1000, 2000, 67_535].map((id) => toHost(id, ranges))).toEqual([
		100_000, 100_999, 5, 300_000, 365_535,
	]);
	expect([100_000, 5, 365_535].map((id) => toContainer(id, ranges))).toEqual([0, 1000, 67_535]);
	expect(hostRoot({ uids: ranges, gids: [] })).toEqual({ uid: 100_000, gid: 0 });
	expect(hostRoot(undefined)).toEqual({ uid: 0, gid: 0 });
});

test("an id without a range is refused, not passed through", () => {
	for (const id of [1001, 67_536]) expect(() => toHost(id, ranges)).toThrow(/no id on the host/);
	for (const id of [0, 6, 101_000]) expect(() => toContainer(id, ranges)).toThrow(/no id in the container/);
});

test.each([
	[[{ containerId: 0, hostId: 0, size: 0 }], "empty"],
	[[{ containerId: 0, hostId: 0xffff_fff0, size: 16 }], "largest"],
	[[{ containerId: 0xffff_ffff, hostId: 0, size: 1 }], "largest"],
	[[{ containerId: -1, hostId: 0, size: 1 }], "whole numbers"],
	[[{ containerId: 0, hostId: 0.5, size: 1 }], "whole numbers"],
	[
		[
			{ containerId: 10, hostId: 100, size: 10 },
			{ containerId: 0, hostId: 0, size: 11 },
		],
		"overlap",
	],
	[
		[
			{ containerId: 0, hostId: 5, size: 10 },
			{ containerId: 10, hostId: 14, size: 10 },
		],
		"overlap",
	],
	[Array.from({ length: 341 }, (_, i) => ({ containerId: i, hostId: i, size: 1 })), "340"],
])("a wrong map %# is refused", (map, message) => {
	expect(() => checkIdMap(map)).toThrow(message);
});

test("the largest id can be mapped", () => {
	const map = checkIdMap([{ containerId: 0, hostId: 0, size: 0xffff_ffff }]);
	expect(toHost(0xffff_fffe, map)).toBe(0xffff_fffe);
});

test("containerd's label: formatting and parsing are inverse", () => {
	expect(parseIdMapLabel("")).toEqual([]);
	for (const bad of ["0:1", "a:b:c", "0:1:2,", "0:1:-2", "0:1:2:3", "0:0:99999999999"])
		expect(() => parseIdMapLabel(bad)).toThrow(/ID map/);
	const sizes = fc.array(fc.tuple(fc.nat(1000), fc.integer({ min: 1, max: 100_000 })), { maxLength: 8 });
	fc.assert(
		fc.property(sizes, (steps) => {
			let at = 0;
			const map = steps.map(([gap, size]) => {
				const range = { containerId: at + gap, hostId: 1_000_000 + at, size };
				at += gap + size;
				return range;
			});
			expect(parseIdMapLabel(formatIdMap(map))).toEqual(map);
			for (const range of map)
				for (const id of [range.containerId, range.containerId + range.size - 1])
					expect(toContainer(toHost(id, map), map)).toBe(id);
		}),
	);
});
