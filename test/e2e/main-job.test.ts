/**
 * The main job on a real Debian image: import, create, mount, change, changes, diff, commit, export and import again,
 * in every flatten policy and with plain copies; what comes out is what was there.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openStore, type Store } from "../../src/index.ts";
import { snapshotTree } from "../../src/layer/testing/snapshot-tree.ts";
import { type DebianImage, debianImage } from "../support/debian-image.ts";
import { makeFilesystem, mountsBelow, type TestFilesystem } from "../support/filesystems.ts";
import { lamella } from "../support/lamella.ts";
import { run } from "../support/processes.ts";
import { expectSameTree } from "../support/same-tree.ts";

/** Everything that a container may do to its files, as root in the mount, by Debian's own programs. */
const EDITS = `
set -eu
cd "$1"
echo edited >> etc/passwd
sed -i s/root/toor/ etc/group
rm etc/debian_version
rm -rf usr/share/perl5 && echo 'a file now' > usr/share/perl5
rm -rf usr/lib/python3 && mkdir usr/lib/python3 && echo fresh > usr/lib/python3/only
mv usr/share/zoneinfo/Europe usr/share/zoneinfo/Europa
mkdir -p srv/deep/er && mv srv/deep srv/renamed
echo one > srv/link-a && ln srv/link-a srv/link-b && ln srv/link-a srv/renamed/er/link-c
ln etc/shadow srv/shadow-link
mknod srv/null c 1 3 && mknod srv/disk b 8 1 && mkfifo srv/pipe
cp bin/true srv/capable && setcap cap_net_raw+ep srv/capable
setfacl -m u:1234:rx -d -m g:55:rwx srv/renamed
setfacl -m u:4321:r srv/link-a
truncate -s 64M srv/sparse && printf data | dd of=srv/sparse bs=1 seek=33554432 conv=notrunc status=none
setfattr -n user.note -v 0x00ff00fe srv/capable
touch "srv/$(printf 'caf\\351')"
ln -s ../no/where "srv/$(printf 'l\\366s')"
chmod 4755 srv/capable
chmod 1777 srv/renamed
chown 1000:2000 srv/link-a
touch -d '1969-12-31T23:59:58.123456789Z' srv/null
touch -d '2001-02-03T04:05:06.987654321Z' srv/renamed/er/link-c
touch -d '2002-02-03T04:05:06.111111111Z' srv/renamed/er srv/renamed
`;

const LONG = process.env.LAMELLA_TEST_LONG !== undefined;

/** Which way through export each variant takes; the long form takes both everywhere. */
const BOTH = ["oci", "docker"] as const;
const VARIANTS = [
	{ driver: "packed", flatten: "auto", formats: BOTH },
	...(LONG ? [{ driver: "overlay", flatten: "auto", formats: BOTH } as const] : []),
	{ driver: "overlay", flatten: "always", formats: LONG ? BOTH : BOTH.slice(1) },
	{ driver: "overlay", flatten: "never", formats: LONG ? BOTH : BOTH.slice(0, 1) },
	{ driver: "vfs", flatten: "auto", formats: LONG ? BOTH : BOTH.slice(1) },
] as const;

let image: DebianImage;
let filesystem: TestFilesystem;

beforeAll(async () => {
	image = await debianImage("small");
	filesystem = makeFilesystem("ext4", 20 * 2 ** 30);
}, 900_000);

afterAll(() => {
	filesystem?.[Symbol.dispose]();
});

async function treeOf(store: Store, id: string): Promise<Record<string, unknown>> {
	await using mount = await store.mount(id);
	return treeAt(store, mount.path);
}

/** EROFS has the content of a sparse file in one piece, and says of no place that it is a hole. */
function treeAt(store: Store, directory: string): Record<string, unknown> {
	return snapshotTree(directory, { ignoreHoles: store.status().driver === "packed" });
}

describe.each(VARIANTS)("$driver, flatten $flatten", ({ formats, ...options }) => {
	const root = (): string => path.join(filesystem.path, `${options.driver}-${options.flatten}`);

	test("what was changed in a container survives commit, export and import, to the last bit", async () => {
		await using store = await openStore({ root: root(), ...options });
		await store.importImage(image.dockerArchive, { name: "debian:demo" });
		await store.create("web1", { from: "debian:demo" });
		let edited: Record<string, unknown>;
		{
			await using mount = await store.mount("web1");
			run("bash", ["-c", EDITS, "edits", mount.path]);
			edited = treeAt(store, mount.path);
		}
		const changes = await store.changes("web1");
		const lines = changes.map(({ kind, path }) => `${kind} ${path.toString("latin1")}`);
		const some = ["D /etc/debian_version", "C /etc/passwd", "A /srv/link-b", "A /srv/caf\xe9"];
		const more = ["C /usr/share/perl5", "D /usr/share/zoneinfo/Europe"];
		expect(lines).toEqual(expect.arrayContaining([...some, ...more]));

		await store.commit("web1", "debian:demo2");
		await store.create("web2", { from: "debian:demo2" });
		expectSameTree(await treeOf(store, "web2"), edited);

		for (const format of formats) {
			const archive = path.join(filesystem.path, `again-${format}.tar`);
			await store.exportImage("debian:demo2", archive, { format });
			const second = `${root()}-${format}`;
			{
				await using again = await openStore({ root: second, ...options });
				await again.importImage(archive, { name: "debian:again" });
				await again.create("web3", { from: "debian:again" });
				expectSameTree(await treeOf(again, "web3"), edited);
			}
			run("rm", ["-rf", second, archive]);
		}

		await store.remove("web1");
		await store.remove("web2");
		await store.removeImage("debian:demo2");
		await store.removeImage("debian:demo");
		await store.cleanup();
		expect([...store.layers()]).toEqual([]);
		expect(readdirSync(path.join(root(), "layers"))).toEqual([]);
		expect(readdirSync(path.join(root(), "trash"))).toEqual([]);
		expect(mountsBelow(root())).toEqual([]);
	});

	test("every form that docker and skopeo save is read to the same tree", async () => {
		await using store = await openStore({ root: root(), ...options });
		let expected: Record<string, unknown> | undefined;
		const { dockerArchive, ociArchiveGzip, ociArchiveZstd, ociLayoutGzip, ociLayoutZstd } = image;
		const all = [dockerArchive, ociArchiveGzip, ociArchiveZstd, ociLayoutGzip, ociLayoutZstd];
		// The forms differ before a driver or a policy is asked; one that is compressed stands for the rest there.
		const forms = LONG || options.flatten === "auto" ? all : all.slice(0, 2);
		for (const form of options.driver === "vfs" ? forms.slice(0, 2) : forms) {
			const [imported] = await store.importImage(form, { name: "debian:form" });
			expect(imported?.id).toMatch(/^sha256:/);
			await store.create("probe", { from: "debian:form" });
			const tree = await treeOf(store, "probe");
			expected ??= tree;
			expectSameTree(tree, expected);
			await store.remove("probe");
			await store.removeImage("debian:form");
		}
	});
});

test("the diff of the same changes is the same tar, byte for byte", async () => {
	const root = path.join(filesystem.path, "deterministic");
	await using store = await openStore({ root });
	await store.importImage(image.ociLayoutGzip, { name: "debian:demo" });
	await store.create("web1", { from: "debian:demo" });
	{
		await using mount = await store.mount("web1");
		run("bash", ["-c", EDITS, "edits", mount.path]);
	}
	const sums = new Set<string>();
	for (let i = 0; i < 2; i += 1) {
		const out = path.join(filesystem.path, `diff-${i}.tar`);
		lamella(root, "diff", "web1", "-o", out);
		sums.add(run("sha256sum", [out]).stdout.slice(0, 64));
		// A hole of 64 MiB must not become 64 MiB of tar.
		expect(statSync(out).size).toBeLessThan(60 * 2 ** 20);
	}
	expect(sums.size).toBe(1);
	expect(readFileSync("/proc/mounts", "utf8")).not.toContain(root);
});
