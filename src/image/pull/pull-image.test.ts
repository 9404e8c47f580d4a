import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import zlib from "node:zlib";
import { describe, expect, it, test } from "vitest";
import { tarOf } from "../../../test/support/layered-image.ts";
import type { LamellaError } from "../../errors/index.ts";
import { ScriptedRegistry } from "../../registry/testing/scripted-registry.ts";
import type { LayerId } from "../../store/index.ts";
import type { ProgressEvent } from "../contract.ts";
import { hostPlatform, platformText } from "../import/platform.ts";
import { leftovers, openTestImages, type TestImages } from "../testing/open-images.ts";

const OCI = "application/vnd.oci.image";
const HOST = hostPlatform();

interface Descriptor {
	readonly mediaType: string;
	readonly digest: string;
	readonly size: number;
}

interface Remote extends Descriptor {
	readonly config: Descriptor;
	readonly layers: readonly Descriptor[];
}

/** A tar of one file. */
function layerTar(directory: string, name: string, content: string | Buffer): Buffer {
	const tree = fs.mkdtempSync(path.join(directory, "tree-"));
	fs.writeFileSync(path.join(tree, name), content);
	return tarOf(tree);
}

/** An image of these tars, under `app:TAG`. */
function addImage(
	registry: ScriptedRegistry,
	tag: string,
	tars: readonly Buffer[],
	platform: { os: string; architecture: string; variant?: string | undefined } = HOST,
): Remote {
	const sha256 = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
	const layers = tars.map((tar) => registry.addBlob(zlib.gzipSync(tar), `${OCI}.layer.v1.tar+gzip`));
	const document = {
		...platform,
		config: { Cmd: [tag] },
		rootfs: { type: "layers", diff_ids: tars.map(sha256) },
	};
	const config = registry.addBlob(Buffer.from(JSON.stringify(document)), `${OCI}.config.v1+json`);
	const mediaType = `${OCI}.manifest.v1+json`;
	const manifest = registry.addManifest(
		`app:${tag}`,
		{ schemaVersion: 2, mediaType, config, layers },
		mediaType,
	);
	return { ...manifest, config, layers };
}

function addIndex(registry: ScriptedRegistry, tag: string, manifests: readonly object[]): Descriptor {
	const mediaType = `${OCI}.index.v1+json`;
	return registry.addManifest(`app:${tag}`, { schemaVersion: 2, mediaType, manifests }, mediaType);
}

interface Test extends TestImages {
	readonly registry: ScriptedRegistry;
	readonly tars: readonly Buffer[];
	/** `127.0.0.1:port/app`. */
	readonly repository: string;
}

async function open(): Promise<Test> {
	const registry = await ScriptedRegistry.open();
	const images = await openTestImages();
	// More than pipes and buffers hold.
	const tars = ["a", "b", "c"].map((name) => layerTar(images.work, name, randomBytes(3_000_000)));
	return {
		...images,
		registry,
		tars,
		repository: `${registry.host}/app`,
		[Symbol.asyncDispose]: async () => {
			await registry[Symbol.asyncDispose]();
			await images[Symbol.asyncDispose]();
		},
	};
}

async function failureOf(work: Promise<unknown>): Promise<LamellaError> {
	try {
		await work;
	} catch (error) {
		return error as LamellaError;
	}
	throw new Error("it did not fail");
}

async function filesIn({ store }: TestImages, layer: LayerId | undefined): Promise<readonly string[]> {
	await store.create("look" as LayerId, { parent: layer, kind: "view" });
	try {
		await using mount = await store.mount("look" as LayerId);
		return fs.readdirSync(mount.path);
	} finally {
		await store.remove("look" as LayerId);
	}
}

describe("a pull", () => {
	it("brings an image by its tag, and keeps where it came from", async () => {
		await using test = await open();
		const remote = addImage(test.registry, "1", test.tars);
		const events: ProgressEvent[] = [];
		const image = await test.images.pull(`${test.repository}:1`, {
			onProgress: (event) => events.push(event),
		});
		expect(image).toMatchObject({ id: remote.config.digest, digest: remote.digest, isNew: true });
		expect(image.names).toEqual([`${test.repository}:1`]);
		expect(image.manifestDigest).toBe(remote.digest);
		expect(image.repoDigests).toEqual([{ repository: test.repository, digest: remote.digest }]);
		expect(await filesIn(test, image.layers.at(-1)?.layer)).toEqual(["a", "b", "c"]);
		expect(new Set(events.map(({ operation }) => operation))).toEqual(new Set(["pull"]));
		const phases = new Set(events.map(({ phase }) => phase));
		expect(phases.isSupersetOf(new Set(["waiting", "downloading", "done"]))).toBe(true);
		expect(test.registry.requests[0]).toBe("HEAD /v2/app/manifests/1");
		expect(test.registry.asked(/^GET/)).toHaveLength(5);
		expect(test.images.find(`${test.repository}@${remote.digest}`)?.id).toBe(image.id);
		expect(leftovers(test.root)).toEqual([]);
	});

	it("of a tag that has not moved costs one HEAD, and of a digest that is here nothing", async () => {
		await using test = await open();
		const remote = addImage(test.registry, "1", test.tars);
		await test.images.pull(`${test.repository}:1`);
		test.registry.requests.length = 0;
		const again = await test.images.pull(`${test.repository}:1`);
		expect(again).toMatchObject({ isNew: false, digest: remote.digest });
		expect(test.registry.requests).toEqual(["HEAD /v2/app/manifests/1"]);
		const byDigest = await test.images.pull(`${test.repository}@${remote.digest}`);
		expect(byDigest.names).toEqual([`${test.repository}:1`]);
		const missing = await test.images.pull(`${test.repository}:1`, { policy: "missing" });
		expect(missing).toMatchObject({ isNew: false, digest: remote.digest });
		expect(test.registry.requests).toHaveLength(1);
	});

	it("of a tag that has moved takes its name from the image that had it", async () => {
		await using test = await open();
		const before = addImage(test.registry, "1", test.tars.slice(0, 1));
		await test.images.pull(`${test.repository}:1`);
		const after = addImage(test.registry, "1", test.tars);
		test.registry.requests.length = 0;
		const image = await test.images.pull(`${test.repository}:1`);
		expect(image).toMatchObject({ id: after.config.digest, isNew: true });
		expect(test.images.find(before.config.digest)?.names).toEqual([]);
		// The first layer is here.
		expect(test.registry.asked(/blobs/)).toHaveLength(3);
		expect(test.registry.asked(new RegExp(after.layers[0]?.digest ?? "-"))).toEqual([]);
	});

	it("by a digest gives no name, also where a tag is written before it", async () => {
		await using test = await open();
		const remote = addImage(test.registry, "1", test.tars.slice(0, 1));
		const image = await test.images.pull(`${test.repository}:other@${remote.digest}`);
		expect(image.names).toEqual([]);
		expect(test.images.find(`${test.repository}@${remote.digest}`)?.id).toBe(image.id);
		expect(test.registry.asked(/^HEAD/)).toEqual([]);
	});

	it("takes images of no layers, and of the same layer twice", async () => {
		await using test = await open();
		const none = addImage(test.registry, "none", []);
		expect((await test.images.pull(`${test.repository}:none`)).id).toBe(none.config.digest);
		const [tar] = test.tars as [Buffer];
		addImage(test.registry, "twice", [tar, tar]);
		const twice = await test.images.pull(`${test.repository}:twice`);
		expect(twice.layers).toHaveLength(2);
		expect(await filesIn(test, twice.layers.at(-1)?.layer)).toEqual(["a"]);
	});

	it("takes an image of many layers", async () => {
		await using test = await open();
		const tars = Array.from({ length: 40 }, (_, i) => layerTar(test.work, `file-${i}`, `${i}`));
		addImage(test.registry, "many", tars);
		const image = await test.images.pull(`${test.repository}:many`);
		expect(await filesIn(test, image.layers.at(-1)?.layer)).toHaveLength(40);
	});
});

describe("of an index", () => {
	it("the image for the platform is taken, and attestations are not", async () => {
		await using test = await open();
		const [one, two] = test.tars as [Buffer, Buffer];
		const own = addImage(test.registry, "own", [one]);
		const other = addImage(test.registry, "other", [two], { os: "linux", architecture: "s390x" });
		const attestation = {
			...own,
			digest: other.digest,
			platform: { os: "unknown", architecture: "unknown" },
		};
		const index = addIndex(test.registry, "1", [
			attestation,
			{ ...other, platform: { os: "linux", architecture: "s390x" } },
			{ ...own, platform: HOST },
		]);
		const image = await test.images.pull(`${test.repository}:1`);
		expect(image).toMatchObject({ id: own.config.digest, digest: index.digest });
		expect(image.repoDigests?.[0]).toEqual({
			repository: test.repository,
			digest: index.digest,
			platform: platformText(HOST),
		});
		const s390x = await test.images.pull(`${test.repository}:1`, { platform: "linux/s390x" });
		expect(s390x.id).toBe(other.config.digest);
		test.registry.requests.length = 0;
		// Each is known again by the index and the platform, and the name goes to the one pulled last.
		expect((await test.images.pull(`${test.repository}:1`)).id).toBe(own.config.digest);
		expect((await test.images.pull(`${test.repository}@${index.digest}`, { platform: "s390x" })).id).toBe(
			s390x.id,
		);
		expect(test.registry.requests).toEqual(["HEAD /v2/app/manifests/1"]);
	});

	it("an index that is new with an image that is here costs no more than the index", async () => {
		await using test = await open();
		const own = addImage(test.registry, "own", test.tars.slice(0, 1));
		addIndex(test.registry, "1", [{ ...own, platform: HOST }]);
		await test.images.pull(`${test.repository}:1`);
		const next = addIndex(test.registry, "1", [{ ...own, platform: HOST, annotations: { again: "1" } }]);
		test.registry.requests.length = 0;
		const image = await test.images.pull(`${test.repository}:1`);
		expect(image).toMatchObject({ isNew: false, digest: next.digest });
		expect(test.registry.requests).toHaveLength(2);
		expect(image.repoDigests).toHaveLength(2);
	});

	it("says which platforms there are where none fits", async () => {
		await using test = await open();
		const other = addImage(test.registry, "other", [], { os: "linux", architecture: "s390x" });
		addIndex(test.registry, "1", [{ ...other, platform: { os: "linux", architecture: "s390x" } }]);
		for (const options of [{}, { platform: "linux/arm/v5" }]) {
			const error = await failureOf(test.images.pull(`${test.repository}:1`, options));
			expect(error.code).toBe("EPLATFORM");
			expect(error.message).toContain("(linux/s390x)");
		}
		// An image that is for one platform alone.
		const error = await failureOf(test.images.pull(`${test.repository}:other`, { platform: "linux/arm64" }));
		expect(error.code).toBe("EPLATFORM");
		expect(error.message).toContain("for linux/s390x only");
		expect((await test.images.pull(`${test.repository}:other`)).architecture).toBe("s390x");
	});
});

describe("a pull that fails", () => {
	test.each([
		[
			"a wrong byte",
			(bytes: Buffer): Buffer => Buffer.from(bytes).fill(7, bytes.length - 40, bytes.length - 30),
		],
		["another layer", (bytes: Buffer): Buffer => zlib.gzipSync(Buffer.alloc(1024)).subarray(0, bytes.length)],
	])("because of %s says who sent it, and leaves nothing", async (_, spoil) => {
		await using test = await open();
		const remote = addImage(test.registry, "1", test.tars);
		const wrong = remote.layers[1];
		const blob = zlib.gzipSync(test.tars[1] as Buffer);
		test.registry.script = ({ line, response }) => {
			if (!line.includes(wrong?.digest ?? "-")) return false;
			const bytes = Buffer.alloc(blob.length);
			spoil(blob).copy(bytes);
			response.end(bytes);
			return true;
		};
		const error = await failureOf(test.images.pull(`${test.repository}:1`));
		// Whatever the wrong bytes are taken for.
		expect(["EDIGEST", "ECOMPRESSION", "ETAR"]).toContain(error.code);
		expect(error.message).toContain(
			`cannot pull ${test.repository}:1: layer 2 of 3 (${wrong?.digest} from ${test.registry.host})`,
		);
		expect(test.images.list()).toEqual([]);
		expect([...test.store.list()]).toEqual([]);
		expect(leftovers(test.root)).toEqual([]);
		test.registry.script = () => false;
		expect((await test.images.pull(`${test.repository}:1`)).isNew).toBe(true);
	});

	it("because a blob came wrong once is none", async () => {
		await using test = await open();
		const remote = addImage(test.registry, "1", test.tars);
		let spoiled = false;
		test.registry.script = ({ line, response }) => {
			if (spoiled || !line.includes(remote.layers[0]?.digest ?? "-")) return false;
			spoiled = true;
			response.end(Buffer.alloc(remote.layers[0]?.size ?? 0));
			return true;
		};
		expect((await test.images.pull(`${test.repository}:1`)).isNew).toBe(true);
		expect(test.registry.asked(new RegExp(remote.layers[0]?.digest ?? "-"))).toHaveLength(2);
	});

	it("because it is cancelled leaves nothing, and the next one goes through", async () => {
		await using test = await open();
		const remote = addImage(test.registry, "1", test.tars);
		const controller = new AbortController();
		test.registry.script = ({ line, response }) => {
			if (!line.includes(remote.layers[2]?.digest ?? "-")) return false;
			response.writeHead(200, { "content-length": remote.layers[2]?.size });
			response.write(Buffer.from([0x1f, 0x8b]), () => controller.abort());
			return true;
		};
		const error = await failureOf(test.images.pull(`${test.repository}:1`, { signal: controller.signal }));
		expect(error.code).toBe("EABORTED");
		expect([...test.store.list()]).toEqual([]);
		expect(leftovers(test.root)).toEqual([]);
		test.registry.script = () => false;
		expect((await test.images.pull(`${test.repository}:1`)).isNew).toBe(true);
	});

	it("because a blob is gone says that, and does not ask again", async () => {
		await using test = await open();
		const remote = addImage(test.registry, "1", test.tars);
		test.registry.script = ({ line, response }) => {
			if (!line.includes(remote.layers[0]?.digest ?? "-")) return false;
			response.writeHead(404).end();
			return true;
		};
		const error = await failureOf(test.images.pull(`${test.repository}:1`));
		expect(error.code).toBe("EREGISTRY");
		expect(error.message).toContain("has lost it");
		expect(test.registry.asked(new RegExp(remote.layers[0]?.digest ?? "-"))).toHaveLength(1);
	});
});

it("a pull beside rmi fetches the layers that were removed", async () => {
	await using test = await open();
	addImage(test.registry, "base", test.tars.slice(0, 2));
	addImage(test.registry, "1", test.tars);
	await test.images.pull(`${test.repository}:base`);
	let removal: Promise<unknown> | undefined;
	const image = await test.images.pull(`${test.repository}:1`, {
		onProgress: ({ phase }) => {
			if (phase === "done") removal ??= test.images.remove(`${test.repository}:base`);
		},
	});
	await removal;
	expect(await filesIn(test, image.layers.at(-1)?.layer)).toEqual(["a", "b", "c"]);
});
