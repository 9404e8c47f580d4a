/** skopeo and Debian's docker pull what lamella pushed, and lamella pulls what they pushed: the same trees and configs. */
import { mkdirSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openStore } from "../../../src/index.ts";
import { snapshotTree } from "../../../src/layer/testing/snapshot-tree.ts";
import { Dockerd } from "../../support/dockerd.ts";
import { makeFilesystem, type TestFilesystem } from "../../support/filesystems.ts";
import { lamellaAsync } from "../../support/lamella.ts";
import { runAsync } from "../../support/processes.ts";
import { DockerRegistry } from "../../support/registry/docker-registry.ts";
import { imageOf, type RegistryImage, tarsOf, writeImageLayout } from "../../support/registry/images.ts";
import { importedTree, type Tree, treeOfImage } from "../../support/registry/stores.ts";
import { expectSameTree } from "../../support/same-tree.ts";

const FORMS: readonly { readonly name: string; readonly image: RegistryImage }[] = [
	{ name: "gzip", image: imageOf(tarsOf(4), { compression: "gzip" }) },
	{ name: "zstd", image: imageOf(tarsOf(4, { salt: "zstd" }), { compression: "zstd" }) },
];

let filesystem: TestFilesystem;
let registry: DockerRegistry;
let dockerd: Dockerd;

const at = (...names: string[]): string => path.join(filesystem.path, ...names);

beforeAll(async () => {
	filesystem = makeFilesystem("ext4", 4 * 2 ** 30);
	registry = await DockerRegistry.start();
	// dockerd speaks plain HTTP to registries of this machine.
	dockerd = await Dockerd.start({ driver: "overlay2", home: at("docker") });
});

afterAll(async () => {
	await dockerd?.[Symbol.asyncDispose]();
	await registry?.[Symbol.asyncDispose]();
	filesystem?.[Symbol.dispose]();
});

async function skopeo(...words: string[]): Promise<string> {
	const plain =
		words[0] === "copy" ? ["--src-tls-verify=false", "--dest-tls-verify=false"] : ["--tls-verify=false"];
	return (await runAsync("skopeo", ["--insecure-policy", words[0] ?? "", ...plain, ...words.slice(1)]))
		.stdout;
}

/** The root directory's own time and mode are not a layer's: each tool makes that directory in its way. */
function withoutRoot({ ".": _, ...rest }: Tree): Tree {
	return rest;
}

async function umociTree(layout: string, name: string): Promise<Tree> {
	const bundle = at("bundle");
	await runAsync("umoci", ["unpack", "--image", `${layout}:${name}`, bundle]);
	const tree = snapshotTree(path.join(bundle, "rootfs"), { ignoreHoles: true });
	await runAsync("rm", ["-rf", bundle]);
	return withoutRoot(tree);
}

async function pulledTree(root: string, reference: string): Promise<{ tree: Tree; id: string | undefined }> {
	await lamellaAsync(root, ["pull", reference]);
	await using store = await openStore({ root });
	const tree = withoutRoot(await treeOfImage(store, reference));
	return { tree, id: [...store.images()][0]?.id };
}

describe.each(FORMS)("$name", ({ name, image }) => {
	let tree: Tree;
	const reference = (tag: string): string => `${registry.host}/peers/${name}:${tag}`;
	const layout = (): string => at(`layout-${name}`);

	beforeAll(async () => {
		mkdirSync(at(name));
		tree = withoutRoot(await importedTree(at(name), image));
		writeImageLayout(layout(), image, "made");
		// Debian's umoci knows no zstd.
		if (name === "gzip") expectSameTree(await umociTree(layout(), "made"), tree);
	});

	test("what skopeo pushed is pulled, and what is pushed again skopeo copies and umoci unpacks", async () => {
		await skopeo("copy", `oci:${layout()}:made`, `docker://${reference("skopeo")}`);
		const pulled = await pulledTree(at(`skopeo-${name}`), reference("skopeo"));
		expectSameTree(pulled.tree, tree);
		expect(pulled.id).toBe(image.config);

		await lamellaAsync(at(`skopeo-${name}`), [
			"push",
			"--compression",
			"gzip",
			reference("skopeo"),
			reference("ours"),
		]);
		const copied = at(`copied-${name}`);
		await skopeo("copy", `docker://${reference("ours")}`, `oci:${copied}:ours`);
		expectSameTree(await umociTree(copied, "ours"), tree);
		const { Digest } = JSON.parse(await skopeo("inspect", `docker://${reference("ours")}`)) as {
			Digest: string;
		};
		expect(Digest).toMatch(/^sha256:/);
		const config = await skopeo("inspect", "--raw", `docker://${reference("ours")}`);
		expect(JSON.parse(config)).toMatchObject({ config: { digest: image.config } });
	});

	test("docker pulls and runs what is pushed, and what docker pushes is pulled", async () => {
		const root = at(`docker-${name}`);
		await skopeo("copy", `oci:${layout()}:made`, `docker://${reference("made")}`);
		await lamellaAsync(root, ["pull", reference("made")]);
		// Debian's docker knows no zstd.
		await lamellaAsync(root, ["push", "--compression", "gzip", reference("made"), reference("for-docker")]);
		await dockerd.dockerAsync("pull", reference("for-docker"));
		const id = await dockerd.dockerAsync("image", "inspect", "--format", "{{.Id}}", reference("for-docker"));
		expect(id.trim()).toBe(image.config);
		const run = ["run", "--rm", "--network", "none", reference("for-docker")];
		expect(await dockerd.dockerAsync(...run, "cat", "/data/top")).toContain("3");

		await dockerd.dockerAsync("tag", reference("for-docker"), reference("by-docker"));
		await dockerd.dockerAsync("push", reference("by-docker"));
		const pulled = await pulledTree(at(`again-${name}`), reference("by-docker"));
		expectSameTree(pulled.tree, tree);
		expect(pulled.id).toBe(image.config);
	});
});
