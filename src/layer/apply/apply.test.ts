import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { LamellaError } from "../../errors/index.ts";
import { diffSize } from "../diff/diff.ts";
import { diffToFile } from "../testing/diff-to-file.ts";
import { Workplace } from "../testing/overlay-mount.ts";
import { packMembers, packTree, withPackedMount } from "../testing/packed-layers.ts";
import { applyEdits, randomEdits } from "../testing/random-edits.ts";
import { makeTree, randomTree } from "../testing/random-tree.ts";
import { snapshotTree } from "../testing/snapshot-tree.ts";
import {
	applyMembers,
	applyTar,
	entryOf,
	fileOf,
	linkOf,
	type Member,
	quietContext,
} from "../testing/tar-of.ts";
import { measure, usageOf } from "../tree/usage.ts";
import { LayerApplier } from "./apply.ts";

function shell(cwd: string, script: string): void {
	execFileSync("sh", ["-euc", script], { cwd });
}

function overlayNames(directory: string): string[] {
	return Object.entries(snapshotTree(directory)).map(([name, { type, device, xattrs }]) => {
		if (device === "0:0") return `${name} whiteout`;
		return xattrs?.["trusted.overlay.opaque"] === undefined ? `${name} ${type}` : `${name} opaque`;
	});
}

/** Applies `members` over `lower` in all forms, and returns what overlayfs shows of one, and the others hold. */
function allForms(place: Workplace, lower: string, members: readonly Member[]) {
	const upper = place.make("layer");
	applyMembers({ directory: upper, lowers: [lower] }, members);
	const { merged } = place.mount([upper, lower]);
	const overlay = snapshotTree(merged);
	place.unmount(merged);
	const plain = place.make("plain");
	shell(plain, `cp -a ${lower}/. .`);
	applyMembers({ directory: plain, form: "plain" }, members);
	const below = packTree(place, lower);
	const packed = place.make("packed");
	packMembers(packed, [below], members);
	const image = withPackedMount(place, [packed, below], (mounted) => snapshotTree(mounted));
	return { upper, overlay, plain: snapshotTree(plain), packed: image };
}

const LOWER = `
	mkdir -p usr/lib d/sub etc; ln -s usr/lib lib; ln -s /usr/lib abs
	echo one > d/one; echo two > d/two; echo x > d/sub/x; echo f > f; chmod 751 d; touch -d 2001-02-03 d
	chown 3:4 d; setfattr -n user.kept -v yes d; echo libc > usr/lib/libc
`;

const SAME_IN_ALL_FORMS: readonly (readonly [
	what: string,
	members: readonly Member[],
	upper: readonly string[],
])[] = [
	["a whiteout", [entryOf("d/", { mode: 0o751 }), entryOf("d/.wh.one")], ["d directory", "d/one whiteout"]],
	["a whiteout without its directory's entry", [entryOf("d/.wh.one")], ["d directory", "d/one whiteout"]],
	[
		"an implied directory keeps what the lower's is like",
		[...[fileOf("d/new", "n")]],
		["d directory", "d/new file"],
	],
	[
		"a whiteout before the same name",
		[entryOf(".wh.d"), entryOf("d/"), fileOf("d/new", "n")],
		["d opaque", "d/new file"],
	],
	[
		"a whiteout after the same name",
		[entryOf("d/"), fileOf("d/new", "n"), entryOf(".wh.d")],
		["d opaque", "d/new file"],
	],
	["a whiteout of a file that the layer has", [fileOf("f", "new"), entryOf(".wh.f")], ["f file"]],
	["a file of a name whited out before", [entryOf(".wh.f"), fileOf("f", "new")], ["f file"]],
	[
		"an opaque mark first",
		[entryOf("d/"), entryOf("d/.wh..wh..opq"), fileOf("d/n", "n")],
		["d opaque", "d/n file"],
	],
	[
		"an opaque mark last",
		[entryOf("d/"), fileOf("d/n", "n"), entryOf("d/.wh..wh..opq")],
		["d opaque", "d/n file"],
	],
	[
		"whiteouts in an opaque directory",
		[entryOf("d/"), entryOf("d/.wh.one"), entryOf("d/.wh..wh..opq")],
		["d opaque"],
	],
	["a file over a directory", [fileOf("d", "file now")], ["d file"]],
	["a directory over a file", [entryOf("f/"), fileOf("f/in", "in")], ["f directory", "f/in file"]],
	[
		"file, then directory, in place of a directory",
		[fileOf("d", "1"), entryOf("d/"), fileOf("d/n", "n")],
		["d opaque", "d/n file"],
	],
	[
		"a directory with content replaced by a file",
		[entryOf("n/"), fileOf("n/x", "x"), fileOf("n", "n")],
		["n file"],
	],
	[
		"a file below a symlink of a lower",
		[fileOf("lib/new", "n")],
		["usr directory", "usr/lib directory", "usr/lib/new file"],
	],
	[
		"a file below an absolute symlink",
		[fileOf("abs/new", "n")],
		["usr directory", "usr/lib directory", "usr/lib/new file"],
	],
	[
		"a whiteout below a symlink",
		[entryOf("lib/.wh.libc")],
		["usr directory", "usr/lib directory", "usr/lib/libc whiteout"],
	],
	[
		"a directory entry over a symlink",
		[entryOf("lib/"), fileOf("lib/n", "n")],
		["lib directory", "lib/n file"],
	],
	[
		"a symlink whited out, then a file below it",
		[entryOf(".wh.lib"), entryOf("lib/"), fileOf("lib/n", "n")],
		["lib opaque", "lib/n file"],
	],
	[
		"a file below a symlink of the same layer",
		[linkOf("l2", "usr", "symlink"), fileOf("l2/n", "n")],
		["l2 symlink", "usr directory", "usr/n file"],
	],
	["a whiteout of what does not exist", [entryOf("d/.wh.nothing")], ["d directory", "d/nothing whiteout"]],
	["a whiteout where no directory is", [entryOf("none/.wh.x")], []],
	[
		"an opaque root",
		[entryOf(".wh..wh..opq"), fileOf("d/n", "n")],
		["abs whiteout", "d opaque", "d/n file", "etc whiteout", "f whiteout", "lib whiteout", "usr whiteout"],
	],
	[
		"AUFS's own names",
		[entryOf(".wh..wh.plnk/"), fileOf(".wh..wh.plnk/x", "x"), entryOf(".wh..wh.aufs")],
		[],
	],
	[
		"a hard link to a lower's file",
		[linkOf("h", "d/one", "hardlink")],
		["d directory", "d/one file", "h file"],
	],
	[
		"a hard link, and a whiteout of its target",
		[linkOf("h", "d/one", "hardlink"), entryOf("d/.wh.one")],
		["d directory", "d/one whiteout", "h file"],
	],
	[
		"a hard link and then a new file at its target",
		[linkOf("h", "f", "hardlink"), fileOf("f", "new")],
		["f file", "h file"],
	],
	["spelling", [fileOf("/./d//../a/./b", "b")], ["a directory", "a/b file"]],
];

test.each(SAME_IN_ALL_FORMS)(
	"%s: overlayfs, and the image of packed layers, show what applying in place gives",
	(_, members, upperNames) => {
		using place = new Workplace();
		const lower = place.make("lower");
		shell(lower, LOWER);
		const before = snapshotTree(lower, { inodes: true });
		// The kernel stamps files by a clock that lags a tick behind.
		const startedNs = BigInt(Date.now() - 20) * 1_000_000n;
		const { upper, overlay, plain, packed } = allForms(place, lower, members);
		expect(overlayNames(upper).slice(1)).toEqual(upperNames);
		// Directories that nobody states the time of are as old as the test, or as time itself.
		const timeless = (tree: typeof overlay) =>
			Object.fromEntries(
				Object.entries(withoutLinks(tree)).map(([name, node]) => [
					name,
					BigInt(node.mtimeNs) >= startedNs || node.mtimeNs === "0" ? { ...node, mtimeNs: "now" } : node,
				]),
			);
		expect(timeless(overlay)).toEqual(timeless(plain));
		expect(timeless(packed)).toEqual(timeless(plain));
		expect(withoutLinks(snapshotTree(lower, { inodes: true }))).toEqual(withoutLinks(before));
	},
);

/** Link sets of an overlay mount are those of the layers below, which the plain form does not share. */
function withoutLinks(tree: ReturnType<typeof snapshotTree>): ReturnType<typeof snapshotTree> {
	return Object.fromEntries(Object.entries(tree).map(([name, { links: _, ...node }]) => [name, node]));
}

test("cancelling is heard at each entry", () => {
	using place = new Workplace();
	let asked = 0;
	const checkAborted = (): void => {
		asked += 1;
		if (asked === 3) throw new LamellaError("EABORTED", "the operation was cancelled");
	};
	const directory = place.make("layer");
	const target = { form: "overlay", directory, lowers: [], xattrPrefix: "trusted.overlay." } as const;
	using applier = new LayerApplier(
		{ ...target, shareInodes: false },
		{ context: { checkAborted, progress: () => {} } },
	);
	const add = (name: string): void => {
		applier.entry(entryOf(name));
		applier.entryEnd();
	};
	for (const name of ["a", "b"]) add(name);
	expect(() => add("c")).toThrow(expect.objectContaining({ code: "EABORTED" }));
});

test("a hard link without its file says whether the file comes later, or not at all", () => {
	using place = new Workplace();
	const apply = (members: readonly Member[]) => () =>
		applyMembers({ directory: place.make("layer") }, members);
	const link = linkOf("dir/link", "./file", "hardlink");
	expect(apply([link, entryOf("other/"), fileOf("file", "x")])).toThrow(
		'"dir/link" is a hard link to "file", which comes later in the tar; the file has to come first',
	);
	expect(apply([link, fileOf("file2", "x")])).toThrow(/"file", which neither the layer nor its parents have/);
});

test("a hard link to a lower's file shares its inode, and the link's header changes nothing", () => {
	using place = new Workplace();
	const lower = place.make("lower");
	fs.writeFileSync(path.join(lower, "f"), "f", { mode: 0o600 });
	const before = fs.statSync(path.join(lower, "f"));
	const upper = place.make("upper");
	const header = { type: "hardlink", mode: 0o4777, uid: 7, linkPath: Buffer.from("f") } as const;
	applyMembers({ directory: upper, lowers: [lower] }, [entryOf("g", header)]);
	const after = fs.statSync(path.join(lower, "f"));
	expect(fs.statSync(path.join(upper, "g")).ino).toBe(before.ino);
	expect([after.mode, after.uid, after.mtimeMs, after.nlink]).toEqual([
		before.mode,
		before.uid,
		before.mtimeMs,
		3,
	]);
	const copied = place.make("copied");
	applyMembers({ directory: copied, lowers: [lower], shareInodes: false }, [entryOf("g", header)]);
	expect(fs.statSync(path.join(copied, "g")).ino).not.toBe(before.ino);
	expect(fs.statSync(path.join(copied, "g")).ino).toBe(fs.statSync(path.join(copied, "f")).ino);
});

test("owner, mode, capability and times survive in the order they are set", () => {
	using place = new Workplace();
	const directory = place.make("upper");
	const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
	const xattrs = [{ name: Buffer.from("security.capability"), value: capability }];
	applyMembers({ directory }, [
		fileOf("suid", "x", { mode: 0o6755, uid: 5, gid: 6, mtimeNs: -1n, xattrs }),
		entryOf("d/", { mode: 0o3711, uid: 1, gid: 2, mtimeNs: 5n }),
		fileOf("d/x", "x", { mode: 0o666 }),
	]);
	const tree = snapshotTree(directory);
	expect(tree.suid).toMatchObject({
		mode: "6755",
		owner: "5:6",
		mtimeNs: "-1",
		xattrs: { "security.capability": capability.toString("hex") },
	});
	expect(tree.d).toMatchObject({ mode: "3711", owner: "1:2", mtimeNs: "5" });
	expect(tree["d/x"]).toMatchObject({ mode: "0666", owner: "0:0" });
});

test("a directory's default ACL is not handed down to what the layer makes in it", () => {
	using place = new Workplace();
	const directory = place.make("upper");
	const acl = Buffer.from(
		"0200000001000700ffffffff02000700e803000004000500ffffffff10000700ffffffff20000000ffffffff",
		"hex",
	);
	applyMembers({ directory }, [
		entryOf("d/", { xattrs: [{ name: Buffer.from("system.posix_acl_default"), value: acl }] }),
		fileOf("d/x", "x", { mode: 0o666 }),
		entryOf("d/e/"),
	]);
	const tree = snapshotTree(directory);
	expect(tree.d?.xattrs).toEqual({ "system.posix_acl_default": acl.toString("hex") });
	expect(tree["d/x"]).toMatchObject({ mode: "0666" });
	expect(tree["d/x"]?.xattrs ?? tree["d/e"]?.xattrs).toBeUndefined();
});

test("overlayfs's own xattrs are left out with a warning, the host's label without", () => {
	using place = new Workplace();
	const directory = place.make("upper");
	const names = [
		"trusted.overlay.opaque",
		"user.overlay.redirect",
		"user.fuseoverlayfs.opaque",
		"security.selinux",
	];
	const xattrs = names.map((name) => ({ name: Buffer.from(name), value: Buffer.from("y") }));
	const { warnings } = applyMembers({ directory }, [entryOf("d/", { xattrs })]);
	expect(snapshotTree(directory).d?.xattrs).toBeUndefined();
	expect(warnings.map(({ kind, xattr, path }) => [kind, xattr, path])).toEqual(
		names.slice(0, 3).map((name) => ["overlay-xattr", name, "d/"]),
	);
});

test("what an apply leaves out is told once a kind, with a count", () => {
	using place = new Workplace();
	const xattrs = (name: string) => [{ name: Buffer.from(name), value: Buffer.from("1") }];
	const far = 10n ** 20n;
	const { warnings } = applyMembers({ directory: place.make("upper") }, [
		{ ...linkOf("l", "d", "symlink"), xattrs: xattrs("user.x") },
		{ ...linkOf("m", "d", "symlink"), xattrs: xattrs("user.x") },
		entryOf("o", { xattrs: xattrs("odd.x") }),
		fileOf("far", "x", { mtimeNs: far }),
		entryOf("far-directory/", { mtimeNs: -far }),
		entryOf("far-fifo", { type: "fifo", mtimeNs: far }),
		entryOf("near", { mtimeNs: 4_000_000_000_000_000_000n }),
		entryOf(".wh..wh.plnk/x"),
	]);
	expect(warnings.map(({ text }) => text)).toEqual([
		'the xattr user.x is left out, because the filesystem does not take it there: "l" and 1 more',
		'the xattr odd.x is left out, because the filesystem does not take it there: "o"',
		'times that the filesystem cannot hold are changed to the nearest that it can: "far" and 2 more',
		'AUFS\'s own files (".wh..wh.…") are left out: ".wh..wh.plnk/x"',
	]);
	const many = Array.from({ length: 500 }, (_, i) => entryOf(`f${i}`, { xattrs: xattrs(`odd.${i}`) }));
	const { warnings: few } = applyMembers({ directory: place.make("upper") }, many);
	expect(few.length).toBeLessThan(60);
	expect(few.reduce((sum, { count }) => sum + count, 0)).toBe(500);
});

test("ids are mapped to the host's, in ACLs and capabilities too", () => {
	using place = new Workplace();
	const directory = place.make("upper");
	const range = [{ containerId: 0, hostId: 100_000, size: 65_536 }];
	const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
	const xattrs = [{ name: Buffer.from("security.capability"), value: capability }];
	applyMembers({ directory }, [fileOf("a/f", "x", { uid: 5, xattrs })], {
		idMaps: { uids: range, gids: range },
	});
	expect(snapshotTree(directory)).toMatchObject({
		a: { owner: "100000:100000" },
		"a/f": { owner: "100005:100000", xattrs: { "security.capability": expect.stringMatching(/a0860100$/) } },
	});
	expect(() =>
		applyMembers({ directory }, [fileOf("f", "x", { uid: 70_000 })], {
			idMaps: { uids: range, gids: range },
		}),
	).toThrow(expect.objectContaining({ code: "EINVALID" }));
});

test("when a file has all the links that it can take, further ones go to a copy", () => {
	using place = new Workplace();
	const directory = place.make("upper");
	// ext4 takes 65,000.
	const names = Array.from({ length: 65_010 }, (_, index) => linkOf(`l${index}`, "f", "hardlink"));
	applyMembers({ directory }, [fileOf("f", "content"), ...names]);
	const last = fs.statSync(path.join(directory, "l65009"));
	expect(fs.readFileSync(path.join(directory, "l65009"), "utf8")).toBe("content");
	expect(last.nlink).toBeGreaterThan(1);
	expect(new Set([fs.statSync(path.join(directory, "l1")).ino, last.ino]).size).toBeLessThanOrEqual(2);
});

test("a tree written as a layer and applied is the same tree, and its usage is counted right", () => {
	fc.assert(
		fc.property(randomTree(), (tree) => {
			using place = new Workplace();
			const from = place.make("from");
			makeTree(from, tree);
			const { tar } = diffToFile(place, { form: "trees", to: from });
			// Where the filesystem says that data lies depends on what it has written back by then.
			const before = snapshotTree(from, { ignoreHoles: true });
			for (const form of ["overlay", "plain"] as const) {
				const directory = place.make(form);
				const { usage, contentSizeBytes } = applyTar({ directory, form }, [tar]);
				expect(snapshotTree(directory, { ignoreHoles: true })).toEqual(before);
				expect({ usage, contentSizeBytes }).toEqual(measure([directory], quietContext));
			}
		}),
		{ numRuns: 25, endOnFailure: true },
	);
});

test("edits in an overlay mount, written as a layer and applied, show the same merged tree", () => {
	fc.assert(
		fc.property(randomTree(2), randomEdits(), (tree, edits) => {
			using place = new Workplace();
			const lower = place.make("lower");
			makeTree(lower, tree);
			const { upper, merged } = place.mount([lower]);
			applyEdits(merged, edits);
			const edited = snapshotTree(merged, { ignoreHoles: true });
			place.unmount(merged);
			const subject = { form: "upper", upper, lowers: [lower], xattrPrefix: "trusted.overlay." } as const;
			const { tar } = diffToFile(place, subject);
			const untouched = snapshotTree(lower, { inodes: true });
			const directory = place.make("applied");
			const { usage, contentSizeBytes } = applyTar({ directory, lowers: [lower] }, [tar]);
			expect({ usage, contentSizeBytes }).toEqual(measure([directory], quietContext));
			expect(contentSizeBytes).toBe(diffSize(subject, quietContext));
			const again = place.mount([directory, lower]);
			expect(withoutLinks(snapshotTree(again.merged, { ignoreHoles: true }))).toEqual(withoutLinks(edited));
			place.unmount(again.merged);
			const plain = place.make("plain");
			shell(plain, `cp -a --sparse=always ${lower}/. .`);
			applyTar({ directory: plain, form: "plain" }, [tar]);
			expect(withoutLinks(snapshotTree(plain, { ignoreHoles: true }))).toEqual(withoutLinks(edited));
			expect(withoutLinks(snapshotTree(lower, { inodes: true }))).toEqual(withoutLinks(untouched));
		}),
		{ numRuns: 25, endOnFailure: true },
	);
});

// What a layer's diff/ holds, whatever the tar had on the way there: moby's pkg/directory, Size().
test.each<[string, readonly Member[], number]>([
	["a symlink is as long as its target", [linkOf("l", "some/where", "symlink")], 10],
	[
		"links count once, to a symlink too",
		[
			fileOf("f", "four"),
			linkOf("h", "f", "hardlink"),
			linkOf("l", "1234567", "symlink"),
			linkOf("m", "l", "hardlink"),
		],
		11,
	],
	["of a path that comes twice, the last", [fileOf("f", "first"), fileOf("f", "2nd")], 3],
	["nothing of what is replaced by a directory", [fileOf("f", "first"), entryOf("f/")], 0],
	["the content of a whiteout is none", [fileOf(".wh.f", "content")], 0],
	["directories, devices and fifos are nothing", [entryOf("d/"), entryOf("p", { type: "fifo" })], 0],
	["a file that a link brings from a lower", [linkOf("h", "f", "hardlink")], 2],
	["a file that a link to itself brings from a lower", [linkOf("f", "f", "hardlink")], 2],
])("the content of a layer is counted as overlay2 counts it: %s", (_, members, expected) => {
	using place = new Workplace();
	const lower = place.make("lower");
	shell(lower, LOWER);
	const directory = place.make("upper");
	const { contentSizeBytes, usage } = applyMembers({ directory, lowers: [lower] }, members);
	expect(contentSizeBytes).toBe(expected);
	expect(usage).toEqual(usageOf([directory], quietContext));
	const subject = {
		form: "upper",
		upper: directory,
		lowers: [lower],
		xattrPrefix: "trusted.overlay.",
	} as const;
	expect(diffSize(subject, quietContext)).toBe(expected);
	const packed = place.make("packed");
	expect(packMembers(packed, [packTree(place, lower)], members).contentSizeBytes).toBe(expected);
});

test("a sparse file keeps its holes", () => {
	using place = new Workplace();
	const directory = place.make("upper");
	const dataExtents = [{ offset: 1 << 20, sizeBytes: 4 }];
	const entry = entryOf("sparse", { sizeBytes: 1 << 30, dataExtents });
	const { usage, contentSizeBytes } = applyMembers({ directory }, [[entry, Buffer.from("data")]]);
	const { size, blocks } = fs.statSync(path.join(directory, "sparse"));
	expect([size, contentSizeBytes]).toEqual([1 << 30, 1 << 30]);
	expect(blocks).toBeLessThan(100);
	expect(usage.sizeBytes).toBeLessThan(100_000);
});

test("a whiteout hides a name of 255 bytes", () => {
	using place = new Workplace();
	const lower = place.make("lower");
	const name = "n".repeat(255);
	fs.writeFileSync(path.join(lower, name), "x");
	const directory = place.make("upper");
	applyMembers({ directory, lowers: [lower] }, [entryOf(`.wh.${name}`)]);
	expect(overlayNames(directory).slice(1)).toEqual([`${name} whiteout`]);
});

test("all descriptors are closed, also after a failure", () => {
	using place = new Workplace();
	const directory = place.make("upper");
	const count = (): number => fs.readdirSync("/proc/self/fd").length;
	const before = count();
	expect(() => applyMembers({ directory }, [fileOf("a/b/c", "x"), fileOf("a/b/c/d", "x")])).toThrow(
		/lies below/,
	);
	expect(count()).toBe(before);
});
