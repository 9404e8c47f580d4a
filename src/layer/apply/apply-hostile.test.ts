import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { Workplace } from "../testing/overlay-mount.ts";
import { packMembers, packTree } from "../testing/packed-layers.ts";
import { snapshotTree } from "../testing/snapshot-tree.ts";
import { applyMembers, entryOf, fileOf, linkOf, type Member } from "../testing/tar-of.ts";

/** `OUT` stands for the absolute path of a directory outside of the layer, with a file `secret` in it. */
type Breakout = readonly [what: string, members: (out: string) => readonly Member[], refusedWith?: string];

const device = (where: string, type: "character" | "block" = "character") =>
	entryOf(where, { type, deviceMajor: 0, deviceMinor: 0 });

const BREAKOUTS: readonly Breakout[] = [
	["a name that goes up", () => [fileOf("../secret", "x")], "EUNSAFE"],
	["a name that goes down and up", () => [fileOf("a/../../secret", "x")], "EUNSAFE"],
	["a name that ends in ..", () => [entryOf("a/../..", { type: "directory" })], "EUNSAFE"],
	["an absolute name that goes up", () => [fileOf("/../secret", "x")], "EUNSAFE"],
	["a directory that goes up", () => [entryOf("../out/", { mode: 0o777 })], "EUNSAFE"],
	["an absolute name", (out) => [fileOf(`${out}/secret`, "x")]],
	[
		"a file through a symlink to the outside",
		(out) => [linkOf("l", out, "symlink"), fileOf("l/secret", "x")],
	],
	[
		"a file through a relative symlink",
		() => [linkOf("l", "../../../../../../..", "symlink"), fileOf("l/tmp/x", "x")],
	],
	["a file through ../out", () => [linkOf("l", "../out", "symlink"), fileOf("l/secret", "x")]],
	[
		"a file through two symlinks",
		(out) => [linkOf("a", out, "symlink"), linkOf("b", "a", "symlink"), fileOf("b/secret", "x")],
	],
	["a file written onto a symlink", (out) => [linkOf("f", `${out}/secret`, "symlink"), fileOf("f", "x")]],
	[
		"a directory's mode set through a symlink",
		(out) => [linkOf("d", out, "symlink"), entryOf("d/", { mode: 0o777 })],
	],
	[
		"a fifo made onto a symlink",
		(out) => [linkOf("p", `${out}/new`, "symlink"), entryOf("p", { type: "fifo" })],
	],
	[
		"a device through a symlink",
		(out) => [
			linkOf("l", out, "symlink"),
			entryOf("l/null", { type: "character", deviceMajor: 1, deviceMinor: 3 }),
		],
	],
	["a hard link to the outside", (out) => [linkOf("h", `${out}/secret`, "hardlink")], "ETAR"],
	["a hard link that goes up", () => [linkOf("h", "../out/secret", "hardlink")], "EUNSAFE"],
	[
		"a hard link through a symlink",
		(out) => [linkOf("l", out, "symlink"), linkOf("h", "l/secret", "hardlink")],
		"ETAR",
	],
	[
		"a hard link to a symlink, then a file onto it",
		(out) => [linkOf("l", `${out}/secret`, "symlink"), linkOf("h", "l", "hardlink"), fileOf("h", "x")],
	],
	[
		"a hard link's metadata",
		(out) => [
			linkOf("l", `${out}/secret`, "symlink"),
			entryOf("h", { type: "hardlink", mode: 0o4777, uid: 9, linkPath: Buffer.from("l") }),
		],
	],
	["a whiteout that goes up", () => [entryOf(".wh..")], "EUNSAFE"],
	["a whiteout of the parent", () => [entryOf("a/.wh...")], "EUNSAFE"],
	["a whiteout of the directory itself", () => [entryOf("a/.wh.")], "EUNSAFE"],
	["a whiteout's name that goes up", () => [entryOf("../.wh.out")], "EUNSAFE"],
	["a whiteout through a symlink", (out) => [linkOf("l", out, "symlink"), entryOf("l/.wh.secret")]],
	["a whiteout of a symlink to the outside", (out) => [linkOf("l", out, "symlink"), entryOf(".wh.l")]],
	["an opaque mark through a symlink", (out) => [linkOf("l", out, "symlink"), entryOf("l/.wh..wh..opq")]],
	["an opaque mark that goes up", () => [entryOf("../.wh..wh..opq")], "EUNSAFE"],
	["an entry below a whiteout", () => [fileOf(".wh.a/b", "x")], "EUNSAFE"],
	[
		"a directory with a whiteout's name by a symlink",
		() => [linkOf("l", ".wh.f", "symlink"), fileOf("l/x", "x")],
		"EUNSAFE",
	],
	[
		"a directory swapped for a symlink",
		(out) => [entryOf("d/"), fileOf("d/x", "x"), linkOf("d", out, "symlink"), fileOf("d/secret", "x")],
	],
	[
		"a symlink swapped for a directory and back",
		(out) => [
			linkOf("d", out, "symlink"),
			entryOf("d/"),
			fileOf("d/x", "x"),
			linkOf("d", out, "symlink"),
			fileOf("d/secret", "x"),
		],
	],
	[
		"a directory below one swapped for a symlink",
		(out) => [
			entryOf("d/e/"),
			fileOf("d/e/x", "x"),
			linkOf("d", path.dirname(out), "symlink"),
			fileOf(`d/e/${path.basename(out)}/secret`, "x"),
			fileOf(`d/${path.basename(out)}/secret`, "x"),
		],
	],
	[
		"a tree with a symlink in it removed",
		(out) => [entryOf("d/"), linkOf("d/l", out, "symlink"), fileOf("d", "x")],
	],
	[
		"symlinks in a circle",
		() => [linkOf("a", "b", "symlink"), linkOf("b", "a", "symlink"), fileOf("a/x", "x")],
		"EUNSAFE",
	],
	["a symlink to itself", () => [linkOf("a", "a/a", "symlink"), fileOf("a/x", "x")], "EUNSAFE"],
	["/proc/self/root", () => [linkOf("l", "/proc/self/root", "symlink"), fileOf("l/tmp/x", "x")]],
	["the root replaced by a symlink", (out) => [linkOf("./", out, "symlink")], "EUNSAFE"],
	["the root replaced by a file", () => [fileOf(".", "x")], "EUNSAFE"],
	["a whiteout device", () => [device("dev")], "EUNSAFE"],
	["a name over 255 bytes", () => [fileOf("n".repeat(256), "x")], "ETAR"],
	["a path over 32767 bytes", () => [fileOf(`${"p/".repeat(16_384)}x`, "x")], "ETAR"],
	[
		"a path over 32767 bytes by symlinks",
		() => [
			entryOf(`${"p/".repeat(2000)}`),
			linkOf("l", "p/".repeat(2000), "symlink"),
			entryOf(`l/${"q/".repeat(15_000)}`),
		],
		"ETAR",
	],
	[
		"a name over 255 bytes by a symlink",
		() => [linkOf("l", `new/${"n".repeat(256)}`, "symlink"), entryOf("l/.wh.x")],
		"ETAR",
	],
	["an entry below a file", () => [fileOf("f2", "x"), fileOf("f2/x", "x")], "ETAR"],
	[
		"an entry below a device",
		() => [entryOf("n", { type: "character", deviceMajor: 1, deviceMinor: 3 }), fileOf("n/x", "x")],
		"ETAR",
	],
	...(["uid", "gid"] as const).flatMap((owner) =>
		[-1, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1].flatMap((id): Breakout[] => [
			[`a setuid file with ${owner} ${id}`, () => [entryOf("f", { mode: 0o4755, [owner]: id })], "ETAR"],
			[`the root with ${owner} ${id}`, () => [entryOf("./", { [owner]: id })], "ETAR"],
			[`a symlink with ${owner} ${id}`, () => [{ ...linkOf("l", "f", "symlink"), [owner]: id }], "ETAR"],
		]),
	),
	...[
		[2 ** 32, 0],
		[0, 2 ** 32],
		[4096, 0],
		[1, 2 ** 20],
		[-1, 0],
	].map(
		([deviceMajor = 0, deviceMinor = 0]): Breakout => [
			`a device ${deviceMajor}:${deviceMinor}`,
			() => [entryOf("f", { type: "character", deviceMajor, deviceMinor })],
			"ETAR",
		],
	),
	["a hard link to a directory", () => [entryOf("d/"), linkOf("h", "d", "hardlink")], "ETAR"],
	["a hard link to nothing", () => [linkOf("h", "nothing", "hardlink")], "ETAR"],
	["a hard link before its file", () => [linkOf("h", "later", "hardlink"), fileOf("later", "x")], "ETAR"],
	["a hard link to the root", () => [linkOf("h", "/", "hardlink")], "ETAR"],
	[
		"a hard link into its own place",
		() => [entryOf("d/"), fileOf("d/x", "x"), linkOf("d", "d/x", "hardlink")],
		"ETAR",
	],
];

const FORMS = ["overlay", "plain", "packed"] as const;

/** A number that no tar can state. */
const IN_NO_TAR = "a device -1:0";

interface Case {
	readonly form: (typeof FORMS)[number];
	readonly members: Breakout[1];
	readonly refusedWith: string | undefined;
}

test.each(
	BREAKOUTS.flatMap((breakout) =>
		FORMS.filter((form) => form !== "packed" || breakout[0] !== IN_NO_TAR).map(
			(form): readonly [string, Case] => [
				`${form} form: ${breakout[0]}`,
				{ form, members: breakout[1], refusedWith: breakout[2] },
			],
		),
	),
)("%s changes nothing outside", (_, { form, members, refusedWith }) => {
	using place = new Workplace();
	const world = place.make("world");
	const out = path.join(world, "out");
	const layer = path.join(world, "layer");
	const lower = place.make("lower");
	fs.mkdirSync(out, { mode: 0o750 });
	fs.writeFileSync(path.join(out, "secret"), "secret");
	fs.mkdirSync(layer);
	execFileSync("sh", ["-euc", "echo f > f; mkdir a; echo x > a/x"], { cwd: lower });
	const packedLower = packTree(place, lower);
	const seen = () => [
		snapshotTree(out, { inodes: true }),
		snapshotTree(lower, { inodes: true }),
		fs.readdirSync(world).sort(),
		fs.existsSync("/tmp/x"),
	];
	const before = seen();
	let code: string | undefined;
	try {
		if (form === "packed") packMembers(layer, [packedLower], members(out));
		else applyMembers({ directory: layer, form, lowers: form === "overlay" ? [lower] : [] }, members(out));
	} catch (error) {
		code = (error as { code?: string }).code ?? String(error);
	}
	expect(seen()).toEqual(before);
	expect(code).toBe(refusedWith);
});

test("a symlink of a lower to the outside is followed within the layer", () => {
	using place = new Workplace();
	const lower = place.make("lower");
	const out = place.make("out");
	fs.symlinkSync(out, path.join(lower, "l"));
	const layer = place.make("layer");
	applyMembers({ directory: layer, lowers: [lower] }, [fileOf("l/new", "x"), entryOf("l/.wh.other")]);
	expect(fs.readdirSync(out)).toEqual([]);
	expect(fs.readFileSync(path.join(layer, out, "new"), "utf8")).toBe("x");
});
