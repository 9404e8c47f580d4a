/** Snapshots with ID maps: by idmapped mounts, by a copy of the parent, refused, and over what containerd has shifted. */
import {
	chmodSync,
	chownSync,
	lchownSync,
	linkSync,
	lstatSync,
	mkdirSync,
	readFileSync,
	rmSync,
	statSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import path from "node:path";
import { status } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { run } from "../../../../test/support/processes.ts";
import { codeOf, SnapshotsClient } from "../../../../test/support/snapshots-client.ts";
import { SnapshotsUnderTest } from "../../../../test/support/snapshots-under-test.ts";
import { parseIdMapLabel } from "../../../idmap/index.ts";
import * as linux from "../../../linux/index.ts";
import { openLayerStore, parseLayerId } from "../../../store/index.ts";
import { createLogger } from "../../log.ts";
import type { Mount } from "../generated/containerd/types/mount_pb.ts";
import { ID_MAPS_OPTIONS, type IdMapsOption } from "../options.ts";
import { serveContainerd } from "../serve.ts";
import { ShiftedLayers } from "./shifted-layers.ts";

const UID = "containerd.io/snapshot/uidmapping";
const GID = "containerd.io/snapshot/gidmapping";
const MAPS = { [UID]: "0:100000:65536", [GID]: "0:200000:65536" };
const CAPABILITY = "security.capability";

let under: SnapshotsUnderTest;
const clients = new Map<IdMapsOption, SnapshotsClient>();

beforeAll(async () => {
	under = await SnapshotsUnderTest.open();
	for (const idMaps of ID_MAPS_OPTIONS) clients.set(idMaps, await under.serve({ idMaps }));
});
afterEach(() => under.unmountAll());
afterAll(() => under?.[Symbol.asyncDispose]());

const by = (option: IdMapsOption): SnapshotsClient => {
	const client = clients.get(option);
	if (client === undefined) throw new Error(option);
	return client;
};
const fresh = (name: string): string => under.fresh(name);
const within = <R>(mounts: readonly Mount[], work: (root: string) => R): R => under.within(mounts, work);
const layer = (parent: string, work: (root: string) => void): Promise<string> =>
	under.layer(by("mount"), parent, work);

/** Two layers with everything that owners matter for. */
async function image(): Promise<string> {
	const base = await layer("", (root) => {
		const at = (name: string): string => path.join(root, name);
		mkdirSync(at("home/user"), { recursive: true });
		chownSync(at("home/user"), 1000, 1001);
		writeFileSync(at("home/user/file"), "of the user");
		chownSync(at("home/user/file"), 1000, 1001);
		writeFileSync(at("setuid"), "program");
		chmodSync(at("setuid"), 0o4755);
		linkSync(at("setuid"), at("linked"));
		writeFileSync(at("capable"), "program");
		linux.lsetxattrAt(
			linux.AT_FDCWD,
			at("capable"),
			CAPABILITY,
			Buffer.from(`0100000200040000${"00".repeat(12)}`, "hex"),
		);
		symlinkSync("file", at("soft"));
		lchownSync(at("soft"), 5, 6);
		linux.utimensat(linux.AT_FDCWD, at("home/user/file"), 1n, 1_600_000_000_123_456_789n);
		writeFileSync(at("deleted"), "");
		mkdirSync(at("replaced/inner"), { recursive: true });
	});
	return layer(base, (root) => {
		rmSync(path.join(root, "deleted"));
		rmSync(path.join(root, "replaced"), { recursive: true });
		mkdirSync(path.join(root, "replaced"));
		writeFileSync(path.join(root, "replaced/new"), "");
	});
}

const ownerOf = (file: string): number[] => [lstatSync(file).uid, lstatSync(file).gid];
const copies = (): string[] =>
	[...under.store.list()].map(({ id }) => id).filter((id) => id.startsWith("containerd-shifted/"));

/** All inodes of a tree with what must not change of them; overlayfs links one whiteout again and again. */
function inodesOf(directory: string): string {
	return run("find", [directory, "-not", "-type", "c", "-printf", "%i %p %U %G %m %C@ %T@\n"]).stdout;
}

describe('id-maps = "copy"', () => {
	it("prepares over a copy that is the container's own, and leaves the image's inodes alone", async () => {
		const parent = await image();
		const before = inodesOf(path.join(under.filesystem.path, "store/layers"));
		const key = fresh("mapped");
		const mounts = await by("copy").prepare(key, parent, MAPS);
		expect(mounts.flatMap(({ options }) => options).join()).not.toMatch(/[ug]idmap/);
		within(mounts, (root) => {
			const at = (name: string): string => path.join(root, name);
			expect(ownerOf(root)).toEqual([100_000, 200_000]);
			expect(ownerOf(at("home/user"))).toEqual([101_000, 201_001]);
			expect(ownerOf(at("home/user/file"))).toEqual([101_000, 201_001]);
			expect(ownerOf(at("soft"))).toEqual([100_005, 200_006]);
			expect(ownerOf(at("replaced/new"))).toEqual([100_000, 200_000]);
			expect(statSync(at("setuid")).mode & 0o7777).toBe(0o4755);
			expect(statSync(at("setuid")).ino).toBe(statSync(at("linked")).ino);
			expect(linux.lgetxattrAt(linux.AT_FDCWD, at("capable"), CAPABILITY)).toBeDefined();
			expect(linux.fstatat(linux.AT_FDCWD, at("home/user/file")).mtimeNs).toBe(1_600_000_000_123_456_789n);
			expect(readFileSync(at("home/user/file"), "utf8")).toBe("of the user");
			expect(() => lstatSync(at("deleted"))).toThrow(/ENOENT/);
			expect(() => lstatSync(at("replaced/inner"))).toThrow(/ENOENT/);
			// The container's root, who is nobody on the host, can write.
			const ids = ["--reuid=100000", "--regid=200000", "--clear-groups"];
			const write = ["sh", "-c", "echo x > new && stat -c %u:%g new"];
			// Started in there: the way to it is closed to all but root.
			expect(run("setpriv", [...ids, ...write], { cwd: root }).stdout.trim()).toBe("100000:200000");
		});
		const after = inodesOf(path.join(under.filesystem.path, "store/layers"));
		const changed = before.split("\n").filter((line) => line.includes("/diff") && !after.includes(line));
		expect(changed).toEqual([]);
		await by("copy").remove(key);
	});

	it("shares the copy, does not show it, and tells the parent that was asked for", async () => {
		const parent = await image();
		const [one, two, other, view] = [fresh("one"), fresh("two"), fresh("other"), fresh("view")];
		const client = by("copy");
		await Promise.all([client.prepare(one, parent, MAPS), client.prepare(two, parent, MAPS)]);
		expect(copies()).toHaveLength(1);
		await client.prepare(other, parent, { [UID]: "0:300000:65536", [GID]: "0:300000:65536" });
		within(await client.view(view, parent, MAPS), (root) =>
			expect(ownerOf(path.join(root, "home/user"))).toEqual([101_000, 201_001]),
		);
		expect(copies()).toHaveLength(2);
		expect(await client.stat(one)).toMatchObject({ parent, labels: MAPS });
		expect(await client.names(`parent=="${parent}"`)).toEqual([one, two, other, view].sort());
		expect((await client.names()).filter((name) => name.includes("shifted"))).toEqual([]);
		expect(await codeOf(client.remove(parent))).toBe(status.FAILED_PRECONDITION);
		for (const key of [one, view]) await client.remove(key);
		expect(copies()).toHaveLength(2);
		for (const key of [two, other]) await client.remove(key);
		expect(copies()).toEqual([]);
		await client.remove(parent);
	});

	it("commits what was written over a copy, on the parent that was asked for", async () => {
		const parent = await image();
		const [key, name] = [fresh("mapped"), fresh("committed")];
		const client = by("copy");
		within(await client.prepare(key, parent, MAPS), (root) => writeFileSync(path.join(root, "new"), ""));
		await client.commit(name, key);
		expect((await client.stat(name)).parent).toBe(parent);
		expect(await codeOf(client.remove(parent))).toBe(status.FAILED_PRECONDITION);
		await client.remove(name);
		expect(copies()).toEqual([]);
		await client.remove(parent);
	});

	it("takes away copies that a kill has left, with the parent or at Cleanup", async () => {
		const parent = await image();
		const idMaps = { uids: parseIdMapLabel("0:100000:65536"), gids: parseIdMapLabel("0:200000:65536") };
		const leave = (): Promise<void> =>
			new ShiftedLayers(under.store).using(parseLayerId(`containerd/${parent}`), idMaps, () =>
				Promise.resolve(),
			);
		await leave();
		expect(copies()).toHaveLength(1);
		await by("copy").cleanup();
		expect(copies()).toEqual([]);
		await leave();
		await by("refuse").remove(parent);
		expect(copies()).toEqual([]);
	});

	it("stands bursts of snapshots that come and go", async () => {
		const parent = await image();
		const client = by("copy");
		await Promise.all(
			Array.from({ length: 30 }, async () => {
				const key = fresh("burst");
				const mounts = await client.prepare(key, parent, MAPS);
				expect(mounts).toHaveLength(1);
				await client.remove(key);
			}),
		);
		expect(copies()).toEqual([]);
		await client.remove(parent);
	});

	it("refuses a parent with an owner outside the map, and a map without root, and leaves nothing", async () => {
		const parent = await image();
		const client = by("copy");
		const narrow = { [UID]: "0:100000:500", [GID]: "0:200000:65536" };
		const rootless = { [UID]: "1:100000:500", [GID]: "0:200000:65536" };
		for (const labels of [narrow, rootless]) {
			expect(await codeOf(client.prepare(fresh("k"), parent, labels))).toBe(status.INVALID_ARGUMENT);
		}
		expect(copies()).toEqual([]);
		expect(await codeOf(client.prepare(fresh("k"), "missing", MAPS))).toBe(status.NOT_FOUND);
		const active = fresh("active");
		await client.prepare(active, parent);
		expect(await codeOf(client.prepare(fresh("k"), active, MAPS))).toBe(status.INVALID_ARGUMENT);
	});
});

describe('id-maps = "mount"', () => {
	it("describes a mount in which a container of that user namespace finds its own numbers", async () => {
		const parent = await image();
		const [mount] = await by("mount").prepare(fresh("mapped"), parent, MAPS);
		const options = mount?.options ?? [];
		const optionOf = (name: string): string =>
			options.find((option) => option.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";
		expect([optionOf("uidmap"), optionOf("gidmap")]).toEqual(["0:100000:65536", "0:200000:65536"]);
		// As containerd 2 does: every lower through an idmapped mount, the upper as it is.
		const userns = linux.newUserNamespace("0 100000 65536\n", "0 200000 65536\n");
		const lowers = optionOf("lowerdir")
			.split(":")
			.map((lower) => {
				const tree = linux.openTree(linux.AT_FDCWD, lower, linux.OPEN_TREE_CLONE);
				linux.mountSetattr(tree, "", linux.AT_EMPTY_PATH, { set: linux.MOUNT_ATTR_IDMAP, usernsFd: userns });
				const target = under.emptyDirectory();
				linux.moveMount(tree, "", linux.AT_FDCWD, target, linux.MOVE_MOUNT_F_EMPTY_PATH);
				linux.close(tree);
				return target;
			});
		linux.close(userns);
		const mapped = options
			.filter((option) => !/^([ug]idmap|lowerdir)=/.test(option))
			.concat(`lowerdir=${lowers.join(":")}`);
		const root = under.emptyDirectory();
		run("mount", ["-t", "overlay", "-o", mapped.join(","), "overlay", root]);
		expect(ownerOf(root)).toEqual([100_000, 200_000]);
		expect(ownerOf(path.join(root, "home/user/file"))).toEqual([101_000, 201_001]);
	});

	it("is refused where the filesystem makes no idmapped mounts, with the way out", async () => {
		const at = (name: string): string => path.join(under.filesystem.path, "mounts", name);
		for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(at(name), { recursive: true });
		const options = `lowerdir=${at("lower")},upperdir=${at("upper")},workdir=${at("work")}`;
		linux.mount("overlay", at("merged"), "overlay", 0, options);
		await using plain = await openLayerStore({ root: path.join(at("merged"), "store"), driver: "vfs" });
		const log = createLogger("silent");
		for (const idMaps of ["mount", "copy"] as const) {
			const socket = path.join(under.filesystem.path, `vfs-${idMaps}.sock`);
			await using _ = await serveContainerd({ store: plain, socket, options: { idMaps }, log });
			using client = new SnapshotsClient(socket);
			const [key, parent] = [fresh("k"), fresh("committed")];
			within(await client.prepare(key), (root) => writeFileSync(path.join(root, "file"), ""));
			await client.commit(parent, key);
			const asked = client.prepare(fresh("mapped"), parent, MAPS);
			if (idMaps === "mount") {
				await expect(asked).rejects.toMatchObject({
					code: status.UNIMPLEMENTED,
					details: expect.stringMatching(/id-maps = "copy"/),
				});
			} else {
				within(await asked, (root) => expect(ownerOf(path.join(root, "file"))).toEqual([100_000, 200_000]));
			}
		}
	});
});

describe("a parent that containerd has shifted by itself", () => {
	it("is taken as it is, whatever the option", async () => {
		const shifted = await layer(await image(), (root) => {
			run("chown", ["-Rh", "100000:200000", root]);
		});
		for (const option of ID_MAPS_OPTIONS) {
			const mounts = await by(option).prepare(fresh("mapped"), shifted, MAPS);
			expect(mounts.flatMap(({ options }) => options).join()).not.toMatch(/[ug]idmap/);
			within(mounts, (root) => {
				expect(ownerOf(root)).toEqual([100_000, 200_000]);
				expect(ownerOf(path.join(root, "home/user/file"))).toEqual([100_000, 200_000]);
			});
			expect(copies()).toEqual([]);
		}
	});
});
