/** What is wrong with an archive, a name or the disk is said in one line, and nothing of it is left behind. */
import {
	existsSync,
	mkdirSync,
	openSync,
	readdirSync,
	readFileSync,
	statfsSync,
	truncateSync,
	writeFileSync,
	writeSync,
} from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeDirectory, makeFilesystem, type TestFilesystem } from "../support/filesystems.ts";
import { CLI, lamella, tryLamella } from "../support/lamella.ts";
import { sha256, writeLayout } from "../support/oci-layout.ts";
import { run } from "../support/processes.ts";
import { makeSmallImage, type SmallImage } from "../support/small-image.ts";

const MIB = 2 ** 20;

let directory: TestFilesystem;
let image: SmallImage;
const at = (...names: string[]): string => path.join(directory.path, ...names);

beforeAll(() => {
	directory = makeDirectory("lamella-bad-");
	image = makeSmallImage(directory.path);
});

afterAll(() => directory[Symbol.dispose]());

/** An OCI layout with one layer; what its config promises of it may be wrong. */
function layout(name: string, blob: Buffer, promised: { diffId?: string } = {}): string {
	writeLayout(at(name), [{ blob, ...promised }]);
	return at(name);
}

/** A tar of one file, by tar itself, whose name is then as given. */
function tarFileOf(entryName: string): string {
	writeFileSync(at("content"), "content\n");
	const options = ["-P", "-C", directory.path, `--transform=s,^content$,${entryName},`];
	run("tar", [...options, "-cf", at("layer.tar"), "content"]);
	return at("layer.tar");
}

const tarOf = (entryName: string): Buffer => readFileSync(tarFileOf(entryName));

function cutOff(file: string, lengthBytes: number): string {
	const target = at("cut-off");
	writeFileSync(target, readFileSync(file));
	truncateSync(target, lengthBytes);
	return target;
}

/** Everything that a store has on disk but its empty database. */
function contentOf(root: string): string[] {
	const left: string[] = [];
	for (const name of ["layers", "trash", "lost", "records"]) {
		if (existsSync(path.join(root, name)))
			left.push(...readdirSync(path.join(root, name), { recursive: true }).map(String));
	}
	return [...left, ...readdirSync(path.join(root, "staging"))];
}

/** Runs a command that has to fail, with one line that says so, and no fault of ours. */
function failing(root: string, ...words: string[]): { code: number | null; message: string } {
	const { code, stdout, stderr } = tryLamella(root, ...words);
	const lines = stderr.split("\n").filter((line) => line.startsWith("lamella: "));
	expect({ stdout, errors: lines.length }, stderr).toEqual({ stdout: "", errors: 1 });
	expect(stderr).not.toMatch(/fault in lamella|\n {4}at /);
	return { code, message: lines[0] ?? "" };
}

describe("an import says what is wrong, and leaves nothing behind", () => {
	const half = (): number => readFileSync(image.dockerArchive).length / 2;
	test.each<readonly [string, () => string, RegExp]>([
		[
			"a truncated archive",
			() => cutOff(image.dockerArchive, half()),
			/damaged or truncated.*fetch it again/,
		],
		[
			"an archive that is cut off at once",
			() => cutOff(image.dockerArchive, 100),
			/cut off at its beginning/,
		],
		["an empty file", () => cutOff(image.dockerArchive, 0), /is empty/],
		["what is no tar", () => "/etc/passwd", /\/etc\/passwd is not an image archive: it is no tar/],
		["a tar that is no image", () => tarFileOf("file"), /neither manifest.json .* nor index.json/],
		["a file that is not there", () => at("missing.tar"), /missing.tar: there is no such file/],
		[
			"a wrong digest",
			() => layout("wrong", tarOf("file"), { diffId: sha256(Buffer.from("x")) }),
			/has the digest sha256:\w+, but sha256:\w+ was expected/,
		],
		["a damaged blob", damagedBlob, /layer 1 of 1 .*: (?:the (?:compressed )?layer has the digest|tar )/],
		[
			"a compression that is not supported",
			() => layout("xz", xz(tarOf("file"))),
			/compressed with xz, which is not supported/,
		],
		[
			"an entry that escapes",
			() => layout("escape", tarOf("../../escaped")),
			/"\.\.\/\.\.\/escaped" leads out of the layer/,
		],
	])("%s", (_what, make, message) => {
		const root = at("store");
		const source = make();
		expect(failing(root, "import", source, "--name", "bad:1").message).toMatch(message);
		expect(contentOf(root)).toEqual([]);
		expect(lamella(root, "images", "--quiet")).toBe("");
	});

	test("and the store is as good as before", () => {
		expect(lamella(at("store"), "import", image.archive, "--name", "good:1")).toMatch(/^good:1 /);
		lamella(at("store"), "rmi", "good:1");
	});

	function xz(tar: Buffer): Buffer {
		writeFileSync(at("plain"), tar);
		run("xz", ["-f", at("plain")]);
		return readFileSync(at("plain.xz"));
	}

	function damagedBlob(): string {
		const tar = tarOf("file");
		const target = layout("damaged", tar);
		const fd = openSync(path.join(target, "blobs", sha256(tar).replace(":", "/")), "r+");
		// In the file's content, so that it still is a tar.
		writeSync(fd, "C", 512);
		return target;
	}
});

test.each<readonly [string, readonly string[], number, RegExp]>([
	["no layer of that name", ["mount", "nobody"], 3, /there is no layer "nobody"/],
	["a name that leads up", ["mount", ".."], 3, /there is no layer "\.\."/],
	["a path for a name", ["rm", "../../etc"], 3, /there is no layer "\.\.\/\.\.\/etc"/],
	["a layer that cannot be named so", ["create", "..", "x"], 2, /"\.\." cannot name a layer/],
	[
		"an image that is not there",
		["create", "web", "nobody:1"],
		3,
		/there is no image or committed layer "nobody:1"/,
	],
	["an image to export that is not there", ["export", "nobody", "-"], 3, /there is no image "nobody"/],
])("%s", (_what, words, code, message) => {
	const failed = failing(at("store"), ...words);
	expect(failed.code).toBe(code);
	expect(failed.message).toMatch(message);
});

test("a filesystem on which overlay does not work is named where overlay is asked for", () => {
	using lower = makeDirectory("lamella-bad-");
	const names = ["lower", "upper", "work", "merged"].map((name) => path.join(lower.path, name));
	for (const name of names) mkdirSync(name);
	const [lowerdir, upperdir, workdir, merged = ""] = names;
	const options = `lowerdir=${lowerdir},upperdir=${upperdir},workdir=${workdir}`;
	run("mount", ["-t", "overlay", "-o", options, "overlay", merged]);
	const { message } = failing(path.join(merged, "store"), "create", "some", "--driver", "overlay");
	expect(message).toMatch(/overlay/);
});

// Of blocks, and on the store's own disk: full-disk.test.ts.
describe("a full disk", () => {
	test("without inodes stops an import as one without blocks, and nothing of it stays", () => {
		using disk = makeFilesystem("ext4", 24 * MIB, { mkfs: ["-N", "256"] });
		const root = path.join(disk.path, "store");
		const many = path.join(directory.path, "many");
		mkdirSync(many);
		for (let i = 0; i < 400; i++) writeFileSync(path.join(many, `file${i}`), "");
		run("tar", ["-C", many, "-cf", at("many.tar"), "."]);
		const source = layout("many", readFileSync(at("many.tar")));
		// A packed layer takes three inodes, however many files it has.
		const asTrees = ["--driver", "overlay"];
		expect(failing(root, "import", source, "--name", "many:1", ...asTrees).message).toMatch(
			/the disk is full/,
		);
		expect(contentOf(root)).toEqual([]);
		expect(lamella(root, "import", image.archive, "--name", "small:1")).toMatch(/^small:1 /);
	});

	test("without inodes stops commit and export, and nothing of them stays", () => {
		using disk = makeFilesystem("ext4", 48 * MIB, { mkfs: ["-N", "256"] });
		const root = path.join(disk.path, "store");
		lamella(root, "import", image.archive, "--name", "small:1");
		lamella(root, "create", "web", "small:1");
		writeFileSync(path.join(lamella(root, "mount", "web").trimEnd(), "new"), "new");
		lamella(root, "unmount", "web");
		mkdirSync(path.join(disk.path, "other"));
		for (let i = 0; statfsSync(disk.path).ffree > 0; i++)
			writeFileSync(path.join(disk.path, "other", `${i}`), "");
		const before = contentOf(root);
		for (const words of [
			["commit", "web", "made:1"],
			["export", "small:1", at("out.tar")],
			["export", "small:1", path.join(disk.path, "layout"), "--format", "oci-dir"],
		]) {
			expect(failing(root, ...words).message).toMatch(/disk.* is full/);
		}
		expect(contentOf(root)).toEqual(before);
		expect(readdirSync(disk.path).sort()).toEqual(["lost+found", "other", "store"]);
	});

	test("leaves no part of what is exported to it", () => {
		using disk = makeFilesystem("tmpfs", MIB);
		const root = at("store");
		lamella(root, "import", image.archive, "--name", "small:1");
		const target = path.join(disk.path, "out.tar");
		expect(failing(root, "export", "small:1", target).message).toMatch(/out\.tar.*disk is full/);
		expect(readdirSync(disk.path)).toEqual([]);
		lamella(root, "create", "web", "small:1");
		const mounted = lamella(root, "mount", "web").trim();
		writeFileSync(path.join(mounted, "large"), Buffer.alloc(2 * MIB, 1));
		lamella(root, "unmount", "web");
		const words = ["-c", `"$0" "$1" --root "$2" diff web > "$3"`, process.execPath, CLI, root, target];
		const { code, stderr } = run("sh", words, { mayFail: true });
		expect(code).not.toBe(0);
		expect(stderr).toMatch(/disk is full|no space left/i);
		lamella(root, "rm", "web");
	});
});
