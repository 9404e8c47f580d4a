/**
 * For tests: lists of tar members that fit together as little as chance has it, with few names, so that they meet
 * often: the same path twice, links into nowhere and in circles, marks before and behind what they are about.
 */
import fc from "fast-check";
import type { Xattr } from "../../tar/index.ts";
import { entryOf, fileOf, linkOf, type Member } from "./tar-of.ts";

const name = fc.constantFrom("a", "b", "c", "d");
const component = fc.oneof(
	{ weight: 20, arbitrary: name },
	{ weight: 1, arbitrary: fc.constantFrom(".", "..", "", ".wh.x", "caf\u00e9") },
);
const spelled = fc
	.tuple(
		fc.oneof({ weight: 8, arbitrary: fc.constant("") }, fc.constantFrom("/", "./")),
		fc.array(component, { minLength: 1, maxLength: 4 }),
	)
	.map(([start, components]) => start + components.join("/"))
	.filter((path) => path !== "" && !path.endsWith("/"));
const directory = fc.oneof(
	fc.constant(""),
	spelled.map((path) => `${path}/`),
);
const target = fc.oneof(
	{ weight: 6, arbitrary: spelled },
	{ weight: 2, arbitrary: fc.constantFrom("/", "..", "../..", "a/../b", "//c", "d/.") },
	{ weight: 1, arbitrary: fc.constantFrom("t".repeat(4095), "t".repeat(4096)) },
);

const hex = (text: string): Buffer => Buffer.from(text, "hex");
const ACLS = [
	// As much as a mode says; with a named user; without the mask that it needs; out of order; of another version; none.
	"0200000001000600ffffffff04000400ffffffff20000400ffffffff",
	"0200000001000600ffffffff02000400e803000004000400ffffffff10000600ffffffff20000400ffffffff",
	"0200000001000600ffffffff10000700ffffffff04000400ffffffff20000400ffffffff",
	"0200000001000600ffffffff02000400e803000004000400ffffffff20000400ffffffff",
	"0200000001000600ffffffff04000400ffffffff10000200ffffffff20000400ffffffff",
	"0300000001000600ffffffff04000400ffffffff20000400ffffffff",
	"02000000",
	"",
	"0200",
].map(hex);
const xattr: fc.Arbitrary<Xattr> = fc
	.oneof(
		fc.tuple(
			fc.constantFrom(
				"user.a",
				"trusted.b",
				"security.c",
				"user.",
				"odd.name",
				"system.x",
				"user.overlay.opaque",
			),
			fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
		),
		fc.tuple(
			fc.constantFrom("system.posix_acl_access", "system.posix_acl_default"),
			fc.constantFrom(...ACLS),
		),
		fc.tuple(
			fc.constant("security.capability"),
			fc.constantFrom(
				hex("0100000200200000000000000000000000000000"),
				hex("010000030020000000000000000000000000000000000000"),
				hex("0100000100200000"),
				hex("0100300200200000000000000000000000000000"),
			),
		),
	)
	.map(([text, value]) => ({ name: Buffer.from(text), value }));

const metadata = fc.record({
	mode: fc.oneof(
		fc.constantFrom(0o644, 0o755, 0o2755, 0o4711, 0o1777, 0),
		fc.integer({ min: 0, max: 0o7777 }),
	),
	uid: fc.constantFrom(0, 0, 5, 70_000, 0xffff_fffe),
	gid: fc.constantFrom(0, 0, 6),
	mtimeNs: fc.constantFrom(1n, -1n, 1_500_000_000_000_000_000n, 1_600_000_000_000_000_007n, -3_000_000_001n),
	xattrs: fc.oneof(
		{ weight: 4, arbitrary: fc.constant([]) },
		fc.uniqueArray(xattr, { maxLength: 3, selector: (one) => one.name.toString("latin1") }),
	),
});

const content = fc.oneof(
	{ weight: 2, arbitrary: fc.constant("") },
	{ weight: 6, arbitrary: fc.nat({ max: 999 }).map(String) },
	{ weight: 1, arbitrary: fc.nat({ max: 9 }).map((digit) => String(digit).repeat(5000)) },
);

const member: fc.Arbitrary<Member> = fc.oneof(
	{
		weight: 6,
		arbitrary: fc
			.tuple(spelled, content, metadata)
			.map(([path, text, more]): Member => fileOf(path, text, more)),
	},
	{
		weight: 6,
		arbitrary: fc.tuple(spelled, metadata).map(([path, more]): Member => entryOf(`${path}/`, more)),
	},
	{
		weight: 3,
		arbitrary: fc
			.tuple(spelled, target, metadata)
			.map(([path, to, more]): Member => ({ ...linkOf(path, to, "symlink"), ...more })),
	},
	{
		weight: 4,
		arbitrary: fc.tuple(spelled, spelled).map(([path, to]): Member => linkOf(path, to, "hardlink")),
	},
	{
		weight: 5,
		arbitrary: fc.tuple(directory, name).map(([path, hidden]): Member => entryOf(`${path}.wh.${hidden}`)),
	},
	{ weight: 2, arbitrary: directory.map((path): Member => entryOf(`${path}.wh..wh..opq`)) },
	{
		weight: 1,
		arbitrary: fc
			.tuple(spelled, metadata, fc.constantFrom("fifo" as const, "block" as const, "character" as const))
			.map(
				([path, more, type]): Member =>
					entryOf(path, {
						...more,
						type,
						...(type === "fifo" ? {} : { deviceMajor: 300, deviceMinor: 70_000 }),
					}),
			),
	},
	{ weight: 1, arbitrary: metadata.map((more): Member => entryOf("./", more)) },
	{ weight: 1, arbitrary: fc.constantFrom<Member>(entryOf(".wh..wh.plnk/"), entryOf("a/.wh..wh.aufs")) },
	{
		weight: 1,
		arbitrary: fc.tuple(spelled, metadata).map(([path, more]): Member => {
			const dataExtents = [{ offset: 8192, sizeBytes: 4 }];
			return [entryOf(path, { ...more, sizeBytes: 20_000, dataExtents }), Buffer.from("data")];
		}),
	},
);

/** Layers of a chain, bottom first. */
export function randomLayers(maxLayers = 3, maxMembers = 8): fc.Arbitrary<readonly (readonly Member[])[]> {
	return fc.array(fc.array(member, { minLength: 1, maxLength: maxMembers }), {
		minLength: 1,
		maxLength: maxLayers,
	});
}
