/**
 * Images in every form go from a registry into a store, from there to another registry, and from that into another store:
 * the trees are those of `lamella import`, file by file, and the config stays what it was.
 */
import { mkdirSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openStore } from "../../../src/index.ts";
import { makeDirectory, type TestFilesystem } from "../../support/filesystems.ts";
import { lamellaAsync } from "../../support/lamella.ts";
import { DockerRegistry } from "../../support/registry/docker-registry.ts";
import {
	HERE,
	type ImageForm,
	imageOf,
	indexOf,
	publish,
	type RegistryImage,
	tarsOf,
} from "../../support/registry/images.ts";
import { importedTree, type Tree, treeOfImage } from "../../support/registry/stores.ts";
import { expectSameTree } from "../../support/same-tree.ts";

interface Form {
	readonly name: string;
	/** What is published. */
	readonly published: RegistryImage;
	/** What this machine has to get of it. */
	readonly expected: RegistryImage;
}

const FOREIGN = [
	{ architecture: "arm64", os: "linux", variant: "v8" },
	{ architecture: "arm", os: "linux", variant: "v7" },
	{ architecture: "s390x", os: "linux" },
].filter(({ architecture }) => architecture !== HERE.architecture);

function forms(): readonly Form[] {
	const four = tarsOf(4);
	const one = (name: string, tars: readonly Buffer[], form?: ImageForm): Form => {
		const image = imageOf(tars, form);
		return { name, published: image, expected: image };
	};
	const many = (name: string, types: "oci" | "docker", attested: boolean): Form => {
		const expected = imageOf(four, { types });
		const foreign = FOREIGN.map((platform, i) => imageOf(four.slice(0, i + 1), { types, platform }));
		return { name, published: indexOf([...foreign, expected], { types, attested }), expected };
	};
	const [bottom = Buffer.alloc(0), second = Buffer.alloc(0)] = four;
	return [
		one("four layers, OCI, gzip", four),
		one("four layers, OCI, zstd", four, { compression: "zstd" }),
		one("four layers, OCI, not compressed", four, { compression: "none" }),
		one("four layers, docker, gzip", four, { types: "docker" }),
		many("an index of four platforms with attestations", "oci", true),
		many("docker's manifest list", "docker", false),
		one("60 layers", tarsOf(60), { compression: "zstd" }),
		one("no layers", []),
		one("the same layer twice", [bottom, second, second]),
	];
}

const FORMS = forms();

let directory: TestFilesystem;
let from: DockerRegistry;
let to: DockerRegistry;

const at = (...names: string[]): string => path.join(directory.path, ...names);

beforeAll(async () => {
	directory = makeDirectory("lamella-registry-");
	[from, to] = await Promise.all([DockerRegistry.start(), DockerRegistry.start()]);
});

afterAll(async () => {
	await from?.[Symbol.asyncDispose]();
	await to?.[Symbol.asyncDispose]();
	directory?.[Symbol.dispose]();
});

/** The digest that a registry has for a tag. */
async function digestOf(registry: DockerRegistry, repository: string): Promise<string | null> {
	const accept = ["manifest.v1+json", "index.v1+json"].map((type) => `application/vnd.oci.image.${type}`);
	const docker = ["manifest.v2+json", "manifest.list.v2+json"].map(
		(type) => `application/vnd.docker.distribution.${type}`,
	);
	const url = `${registry.origin}/v2/${repository}/manifests/1`;
	const answer = await fetch(url, { method: "HEAD", headers: { accept: [...accept, ...docker].join(", ") } });
	expect(answer.status).toBe(200);
	return answer.headers.get("docker-content-digest");
}

describe.each(FORMS.map((form, i) => ({ ...form, i })))("$name", ({ published, expected, i }) => {
	let tree: Tree;
	const repository = `team/form-${i}`;
	const one = (): string => at(`one-${i}`);
	const source = (): string => `${from.host}/${repository}:1`;
	const target = (): string => `${to.host}/mirror/${repository}:1`;

	beforeAll(async () => {
		mkdirSync(at(`import-${i}`));
		await publish(from.origin, repository, published, "1");
		tree = await importedTree(at(`import-${i}`), expected);
	});

	test("is pulled to the tree and the config that it has", async () => {
		await lamellaAsync(one(), ["pull", source()]);
		await using store = await openStore({ root: one() });
		expectSameTree(await treeOfImage(store, source()), tree);
		expect([...store.images()].map(({ id, names }) => ({ id, names }))).toEqual([
			{ id: expected.config, names: [source()] },
		]);
	});

	test("its manifest's digest is kept, and pulling it by digest downloads nothing", async () => {
		const { digest } = published.document;
		expect(await lamellaAsync(one(), ["images", "--digests"])).toContain(digest.slice(0, 19));
		await from.stop();
		try {
			await lamellaAsync(one(), ["pull", `${from.host}/${repository}@${digest}`]);
		} finally {
			await from.restart();
		}
	});

	test("is pushed to another registry, and from there pulled to the same tree and config", async () => {
		const said = await lamellaAsync(one(), ["push", source(), target()]);
		const digest = await digestOf(to, `mirror/${repository}`);
		expect(said).toContain(digest);
		const two = at(`two-${i}`);
		await lamellaAsync(two, ["pull", target()]);
		await using store = await openStore({ root: two });
		expectSameTree(await treeOfImage(store, target()), tree);
		expect([...store.images()].map(({ id }) => id)).toEqual([expected.config]);
		// What is there already is not sent again, and the digest is the same.
		expect(await lamellaAsync(two, ["push", target()])).toContain(digest);
	});
});
