/** A mounted layer's own file functions, on an image that tries to lead them out. */
import fs from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeDirectory, type TestFilesystem } from "../../test/support/filesystems.ts";
import { run } from "../../test/support/processes.ts";
import { type MountedLayer, openStore, type Store } from "../index.ts";

let directory: TestFilesystem;
let outside: string;
let store: Store;
let mount: MountedLayer;

beforeAll(async () => {
	directory = makeDirectory("lamella-mounted-");
	outside = path.join(directory.path, "outside");
	const tree = path.join(directory.path, "tree");
	fs.mkdirSync(outside);
	fs.writeFileSync(path.join(outside, "secret"), "secret");
	fs.mkdirSync(path.join(tree, "etc"), { recursive: true });
	fs.writeFileSync(path.join(tree, "etc/issue"), "one\n");
	fs.symlinkSync(outside, path.join(tree, "srv"));
	fs.symlinkSync(`../../../../../../../..${outside}`, path.join(tree, "up"));
	run("mkfifo", [path.join(tree, "fifo")]);
	run("mknod", [path.join(tree, "device"), "c", "1", "3"]);
	const tar = path.join(directory.path, "layer.tar");
	run("tar", ["-C", tree, "-cf", tar, "."]);
	store = await openStore({ root: path.join(directory.path, "root") });
	await store.applyLayer(tar, { name: "base" });
	await store.create("web", { from: "base" });
	mount = await store.mount("web");
});

afterAll(async () => {
	await mount?.unmount();
	await store?.close();
	directory[Symbol.dispose]();
});

it("reads, writes, appends and makes directories by paths from the layer's root", async () => {
	await mount.mkdir("/a/b/c", { recursive: true });
	await mount.mkdir("/a/b", { recursive: true });
	await mount.writeFile("a/b/c/file", "one\n", { mode: 0o600 });
	await mount.writeFile("/a/../a/b/c/file", Buffer.from("two\n"), { flag: "a" });
	expect(await mount.readFile("/a/b/c/file", "utf8")).toBe("one\ntwo\n");
	expect(await mount.readFile(Buffer.from("/etc/issue"))).toEqual(Buffer.from("one\n"));
	expect(fs.statSync(path.join(mount.path, "a/b/c/file")).mode & 0o777).toBe(0o600);
	await using file = await mount.open("/etc/issue", "r+");
	await file.truncate(1);
	expect(await mount.readFile("/etc/issue", "utf8")).toBe("o");
	const changed = (await store.changes("web")).map(({ kind, path }) => `${kind} ${path}`);
	expect(changed).toContain("A /a/b/c/file");
});

it("is not led out by an image's links", async () => {
	for (const name of ["/srv/secret", "/up/secret", `/../../..${outside}/secret`]) {
		await expect(mount.readFile(name)).rejects.toMatchObject({ code: "ENOTFOUND", layer: "web" });
		await expect(mount.writeFile(name, "x")).rejects.toMatchObject({ code: "ENOTFOUND" });
		expect(() => mount.resolve(name)).toThrow(expect.objectContaining({ code: "ENOTFOUND" }));
	}
	await mount.mkdir(outside, { recursive: true });
	await mount.writeFile("/srv/made", "inside");
	expect(fs.readdirSync(outside)).toEqual(["secret"]);
	expect(fs.readFileSync(path.join(mount.path, outside, "made"), "utf8")).toBe("inside");
});

it("opens no FIFO, device or directory as a file", async () => {
	for (const name of ["/fifo", "/device", "/etc"]) {
		await expect(mount.readFile(name)).rejects.toMatchObject({ code: "EINVALID" });
		await expect(mount.writeFile(name, "x")).rejects.toMatchObject({ code: "EINVALID" });
	}
});

it("says what is in the way", async () => {
	await expect(mount.mkdir("/etc")).rejects.toMatchObject({ code: "EEXISTS" });
	await expect(mount.mkdir("/")).rejects.toMatchObject({ code: "EEXISTS" });
	await expect(mount.mkdir("/none/x")).rejects.toMatchObject({ code: "ENOTFOUND" });
	await expect(mount.mkdir("/fifo/x", { recursive: true })).rejects.toMatchObject({ code: "EINVALID" });
	await expect(mount.writeFile("/etc/issue", "x", { flag: "wx" })).rejects.toMatchObject({ code: "EEXISTS" });
	await using view = await store.mount("base");
	await expect(view.writeFile("/etc/new", "x")).rejects.toMatchObject({ code: "EPERMISSION" });
});

it("resolves a directory for whatever else is to be done there, until it is closed", async () => {
	{
		using etc = mount.resolve("/etc");
		expect(fs.readdirSync(etc.path)).toEqual(["issue"]);
		fs.renameSync(`${etc.path}/issue`, `${etc.path}/renamed`);
		await expect(mount.unmount()).rejects.toMatchObject({ code: "EBUSY" });
		etc.close();
	}
	expect(await mount.readFile("/etc/renamed", "utf8")).toBe("o");
});

it("touches nothing once it is unmounted", async () => {
	const gone = await store.mount("web");
	await gone.unmount();
	await gone.unmount();
	await expect(gone.writeFile("/late", "x")).rejects.toMatchObject({ code: "EINVALID" });
	expect(store.layer("web").mountCount).toBe(1);
	await store.unmount("web", { force: true });
	await expect(mount.writeFile("/late", "x")).rejects.toMatchObject({ code: "EINVALID" });
});
