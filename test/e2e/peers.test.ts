/**
 * Other tools and we agree, file by file: what docker, umoci and our store unpack from one image, and what they make of
 * what we export.
 */
import { mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openStore } from "../../src/index.ts";
import { snapshotTree } from "../../src/layer/testing/snapshot-tree.ts";
import { type DebianImage, debianImage } from "../support/debian-image.ts";
import { Dockerd } from "../support/dockerd.ts";
import { makeFilesystem, type TestFilesystem } from "../support/filesystems.ts";
import { run } from "../support/processes.ts";
import { expectSameTree } from "../support/same-tree.ts";

let image: DebianImage;
let filesystem: TestFilesystem;
let dockerd: Dockerd;
let ours: Record<string, unknown>;
let committed: Record<string, unknown>;

const at = (name: string): string => path.join(filesystem.path, name);

/** The root directory's own time and mode are not a layer's: each tool makes that directory in its way. */
function withoutRoot(tree: Record<string, unknown>): Record<string, unknown> {
	const { ".": _, ...rest } = tree;
	return rest;
}

beforeAll(async () => {
	image = await debianImage("small");
	filesystem = makeFilesystem("ext4", 20 * 2 ** 30);
	dockerd = await Dockerd.start({ driver: "overlay2", home: at("docker") });
	await using store = await openStore({ root: at("store") });
	await store.importImage(image.ociArchiveGzip, { name: "debian:demo" });
	await store.create("web1", { from: "debian:demo" });
	{
		await using mount = await store.mount("web1");
		ours = snapshotTree(mount.path);
		run("bash", [
			"-c",
			`cd ${mount.path} && rm -rf usr/lib/python3 && mkdir usr/lib/python3 && echo x > usr/lib/python3/x &&
			 rm etc/issue && echo new > srv/new && ln srv/new srv/new2 && cp bin/true srv/cap && setcap cap_net_raw+ep srv/cap &&
			 touch -d 2001-02-03T04:05:06Z srv/new && touch "srv/$(printf 'caf\\351')"`,
		]);
		committed = snapshotTree(mount.path);
	}
	await store.commit("web1", "debian:demo2");
	await store.exportImage("debian:demo2", at("oci.tar"), { format: "oci" });
	await store.exportImage("debian:demo2", at("docker.tar"), { format: "docker" });
	await store.remove("web1");
}, 1_200_000);

afterAll(async () => {
	await dockerd?.[Symbol.asyncDispose]();
	filesystem?.[Symbol.dispose]();
});

/** The tree that dockerd's own overlay2 has unpacked, mounted read-only by the kernel. */
function dockerTree(reference: string): Record<string, unknown> {
	const { LowerDir, UpperDir } = JSON.parse(
		dockerd.docker("image", "inspect", "--format", "{{json .GraphDriver.Data}}", reference),
	) as { LowerDir?: string; UpperDir: string };
	const target = at("docker-tree");
	mkdirSync(target, { recursive: true });
	const lowers = LowerDir === undefined ? [UpperDir] : [UpperDir, ...LowerDir.split(":")];
	run("mount", ["-t", "overlay", "-o", `ro,lowerdir=${lowers.join(":")}`, "overlay", target]);
	try {
		return snapshotTree(target);
	} finally {
		run("umount", [target]);
	}
}

function umociTree(source: string, reference: string): Record<string, unknown> {
	const bundle = at("bundle");
	run("umoci", ["unpack", "--image", `${source}:${reference}`, bundle], { timeoutMs: 900_000 });
	const tree = snapshotTree(path.join(bundle, "rootfs"));
	run("rm", ["-rf", bundle]);
	return tree;
}

test("docker unpacks the image to the tree that we unpack", () => {
	dockerd.docker("load", "-i", image.dockerArchive);
	expectSameTree(withoutRoot(dockerTree(image.reference)), withoutRoot(ours));
});

test("umoci unpacks the image to the tree that we unpack", () => {
	expectSameTree(withoutRoot(umociTree(image.ociLayoutGzip, image.reference)), withoutRoot(ours));
});

test("docker loads what we export, and its tree is ours", () => {
	expect(dockerd.docker("load", "-i", at("docker.tar"))).toContain("debian:demo2");
	expectSameTree(withoutRoot(dockerTree("debian:demo2")), withoutRoot(committed));
	const said = dockerd.docker("run", "--rm", "--network", "none", "debian:demo2", "cat", "/srv/new");
	expect(said).toBe("new\n");
});

test("skopeo copies what we export, and umoci unpacks it to our tree", () => {
	const target = `oci:${at("layout")}:debian:demo2`;
	run("skopeo", ["copy", "--insecure-policy", `oci-archive:${at("oci.tar")}`, target]);
	expectSameTree(withoutRoot(umociTree(at("layout"), "debian:demo2")), withoutRoot(committed));
	run("skopeo", ["copy", "--insecure-policy", `docker-archive:${at("docker.tar")}`, `dir:${at("dir")}`]);
	expect(readFileSync(path.join(at("dir"), "manifest.json"), "utf8")).toContain("schemaVersion");
});
