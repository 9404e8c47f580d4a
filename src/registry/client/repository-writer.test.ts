import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Credentials, openRegistryClient, type RegistryClient } from "../index.ts";
import { bodyOf, digestOf, MemoryRegistry } from "../testing/memory-registry.ts";
import type { RepositoryWriter } from "./repository-writer.ts";
import type { BlobSource } from "./upload.ts";

let registry: MemoryRegistry;
let client: RegistryClient | undefined;

beforeEach(async () => {
	registry = await MemoryRegistry.start();
});

afterEach(async () => {
	await client?.[Symbol.asyncDispose]();
	client = undefined;
	await registry[Symbol.asyncDispose]();
});

async function writer(auth?: Credentials): Promise<RepositoryWriter> {
	client = openRegistryClient(registry.host, {
		auth,
		retry: { firstDelayMs: 1, longestDelayMs: 2 },
		hosts: { certsDirectories: [], environment: {}, timeouts: { headersMs: 2000 } },
	});
	return await client.writer({ registry: registry.host, repository: "app" });
}

function blobOf(bytes: Buffer): BlobSource {
	return {
		digest: digestOf(bytes),
		sizeBytes: bytes.length,
		open: async function* (start, end) {
			for (let at = start; at < end; at += 65536) yield bytes.subarray(at, Math.min(end, at + 65536));
		},
	};
}

const small = Buffer.from("a small blob");
const large = randomBytes((3 << 20) + 17);

test("a small blob takes two requests", async () => {
	await (await writer()).uploadBlob(blobOf(small));
	expect(registry.blobs.get(digestOf(small))).toEqual(small);
	expect(registry.asked).toEqual(["POST /v2/app/blobs/uploads/", "PUT /v2/app/blobs/uploads/1"]);
});

test("an empty blob is one, too", async () => {
	await (await writer()).uploadBlob(blobOf(Buffer.alloc(0)));
	expect(registry.blobs.get(digestOf(Buffer.alloc(0)))).toEqual(Buffer.alloc(0));
});

test("a large blob is sent by one PATCH, as docker does it, and says how far it is", async () => {
	const done: number[] = [];
	await (await writer()).uploadBlob(blobOf(large), { onProgress: (bytes) => done.push(bytes) });
	expect(registry.blobs.get(digestOf(large))?.equals(large)).toBe(true);
	expect(registry.asked.map((line) => line.split(" ")[0])).toEqual(["POST", "PATCH", "PUT"]);
	expect(done.at(-1)).toBe(large.length);
	expect(done).toEqual(done.toSorted((a, b) => a - b));
});

test("an upload that breaks goes on from the byte that the registry has", async () => {
	let kept = 0;
	registry.intercept = (request, response) => {
		if (request.method !== "PATCH" || kept > 0) return false;
		request.on("data", (chunk: Buffer) => {
			if (kept > 1 << 20) return;
			kept += chunk.length;
			registry.uploads.set("1", Buffer.concat([registry.uploads.get("1") ?? Buffer.alloc(0), chunk]));
			if (kept > 1 << 20) response.destroy();
		});
		return true;
	};
	await (await writer()).uploadBlob(blobOf(large));
	expect(registry.blobs.get(digestOf(large))?.equals(large)).toBe(true);
	expect(registry.asked.map((line) => line.split(" ")[0])).toEqual(["POST", "PATCH", "GET", "PATCH", "PUT"]);
	expect(registry.seen[3]?.headers["content-range"]).toBe(`${kept}-${large.length - 1}`);
});

test("a registry that takes bytes and has no more of them than before ends the upload, by name", async () => {
	let patches = 0;
	registry.intercept = (request, response) => {
		if (request.method !== "PATCH" || ++patches === 2) return false;
		const range = `0-${(registry.uploads.get("1")?.length ?? 0) - 1}`;
		// The first request is too large; of the second a part is kept, of the third nothing.
		const status = patches === 1 ? 413 : 202;
		request.resume().on("end", () => response.writeHead(status, { location: request.url, range }).end());
		return true;
	};
	await expect((await writer()).uploadBlob(blobOf(large))).rejects.toThrow(
		/^127\.0\.0\.1:\d+ gave a wrong answer for .*: it took bytes from (\d+) on, and says that it has \1;/,
	);
	expect(patches).toBe(3);
});

test("where the registry has lost the upload it is begun anew", async () => {
	let patches = 0;
	registry.intercept = (request, response) => {
		if (request.method !== "PATCH" || patches++ > 0) return false;
		registry.uploads.clear();
		response.destroy();
		return true;
	};
	await (await writer()).uploadBlob(blobOf(large));
	expect(registry.blobs.has(digestOf(large))).toBe(true);
});

test("bytes that came wrong are sent again", async () => {
	let puts = 0;
	registry.intercept = (request, response) => {
		if (request.method !== "PUT" || puts++ > 0) return false;
		registry.uploads.clear();
		request.resume();
		response.writeHead(400).end('{"errors":[{"code":"DIGEST_INVALID"}]}');
		return true;
	};
	await (await writer()).uploadBlob(blobOf(large));
	expect(registry.blobs.has(digestOf(large))).toBe(true);
});

test("a registry that finds every upload wrong is given up, with what it says", async () => {
	registry.intercept = (request, response) => {
		if (request.method !== "PUT") return false;
		request.resume();
		response.writeHead(400).end('{"errors":[{"code":"DIGEST_INVALID","message":"no match"}]}');
		return true;
	};
	await expect((await writer()).uploadBlob(blobOf(small))).rejects.toMatchObject({
		code: "EREGISTRY",
		message: expect.stringMatching(
			/127\.0\.0\.1:\d+ does not take the upload of blob sha256:\w+ to 127\.0\.0\.1:\d+\/app \(400, DIGEST_INVALID: no match\)/,
		),
	});
});

test("a host that finds a request too large gets smaller ones", async () => {
	const limit = 1 << 20;
	registry.intercept = (request, response) => {
		if (Number(request.headers["content-length"] ?? 0) <= limit) return false;
		request.resume();
		response.writeHead(413).end();
		return true;
	};
	const to = await writer();
	await to.uploadBlob(blobOf(large));
	expect(registry.blobs.get(digestOf(large))?.equals(large)).toBe(true);
	registry.seen.length = 0;
	const other = randomBytes(2 << 20);
	await to.uploadBlob(blobOf(other));
	// It was learnt once.
	expect(registry.seen.every(({ headers }) => Number(headers["content-length"] ?? 0) <= limit)).toBe(true);
});

test("the least that a host takes at once is kept to", async () => {
	registry.intercept = (request, response) => {
		if (Number(request.headers["content-length"] ?? 0) > 2 << 20) {
			request.resume();
			response.writeHead(413).end();
			return true;
		}
		if (request.method !== "POST") return false;
		registry.uploads.set("9", Buffer.alloc(0));
		response
			.writeHead(202, { location: "/v2/app/blobs/uploads/9", "oci-chunk-min-length": String(2 << 20) })
			.end();
		return true;
	};
	await (await writer()).uploadBlob(blobOf(large));
	const sizes = registry.seen
		.filter(({ method }) => method === "PATCH")
		.map(({ headers }) => Number(headers["content-length"]));
	expect(sizes.slice(1)).toEqual([2 << 20, large.length - (2 << 20)]);
});

test("a host that knows no PATCH gets all with the PUT", async () => {
	registry.intercept = (request, response) => {
		if (request.method !== "PATCH") return false;
		request.resume();
		response.writeHead(405).end();
		return true;
	};
	await (await writer()).uploadBlob(blobOf(large));
	expect(registry.blobs.get(digestOf(large))?.equals(large)).toBe(true);
});

test("a mount sends nothing; where there is none, the upload that was begun is used", async () => {
	const to = await writer();
	registry.blobs.set(digestOf(small), small);
	expect(await to.mountBlob(digestOf(small), "other/app")).toBe(true);
	expect(registry.seen[0]?.path).toBe(
		`/v2/app/blobs/uploads/?mount=${encodeURIComponent(digestOf(small))}&from=other%2Fapp`,
	);
	registry.seen.length = 0;
	expect(await to.mountBlob(digestOf(large), "other/app")).toBe(false);
	await to.uploadBlob(blobOf(large));
	expect(registry.asked.map((line) => line.split(" ")[0])).toEqual(["POST", "PATCH", "PUT"]);
});

test("a token that runs out in the middle of an upload is renewed, and the bytes are sent again", async () => {
	let isGood = false;
	let sent = 0;
	await using tokens = await MemoryRegistry.start();
	tokens.intercept = (_, response) => {
		isGood = true;
		response.end(JSON.stringify({ token: "t" }));
		return true;
	};
	registry.intercept = async (request, response) => {
		if (isGood && request.method === "PATCH" && sent++ === 0) isGood = false;
		if (isGood) return false;
		await bodyOf(request);
		response
			.writeHead(401, { "www-authenticate": `Bearer realm="http://${tokens.host}/token",service="s"` })
			.end();
		return true;
	};
	await (await writer({ username: "ann", password: "pw" })).uploadBlob(blobOf(large));
	expect(registry.blobs.get(digestOf(large))?.equals(large)).toBe(true);
	expect(tokens.seen.map(({ path }) => new URL(path, "http://host").searchParams.get("scope"))).toEqual([
		"repository:app:pull,push",
		"repository:app:pull,push",
	]);
});

test("an upload that goes on at another host takes no credentials there", async () => {
	await using elsewhere = await MemoryRegistry.start();
	elsewhere.uploads.set("1", Buffer.alloc(0));
	registry.uploadOrigin = `http://${elsewhere.host}`;
	elsewhere.uploadOrigin = `http://${elsewhere.host}`;
	registry.intercept = (request, response) => {
		if (request.headers.authorization !== undefined) return false;
		response.writeHead(401, { "www-authenticate": 'Basic realm="r"' }).end();
		return true;
	};
	await (await writer({ username: "ann", password: "pw" })).uploadBlob(blobOf(large));
	expect(elsewhere.blobs.has(digestOf(large))).toBe(true);
	expect(elsewhere.seen.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined]);
	expect(registry.seen.at(-1)?.headers.authorization).toMatch(/^Basic /);
});

test.each([
	[401, "EUNAUTHORIZED", /it wants credentials; `lamella login 127/],
	[403, "EDENIED", /not everybody may push there; `lamella login 127/],
	[404, "ENOTFOUND", /there is no such repository; make it there first/],
	[405, "EREGISTRY", /it is for reading only, a mirror perhaps/],
])("a refusal by %s is told apart", async (status, code, message) => {
	registry.intercept = (_, response) => {
		response.writeHead(status).end();
		return true;
	};
	const upload = (await writer()).uploadBlob(blobOf(small));
	await expect(upload).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
	expect(registry.seen).toHaveLength(1);
});

test("503 is waited out", async () => {
	let busy = 3;
	registry.intercept = (request, response) => {
		if (busy-- <= 0) return false;
		request.resume();
		response.writeHead(503).end();
		return true;
	};
	await (await writer()).uploadBlob(blobOf(large));
	expect(registry.blobs.has(digestOf(large))).toBe(true);
});

test("a cancelled upload ends at once", async () => {
	const abort = new AbortController();
	registry.intercept = (request) => {
		if (request.method !== "PATCH") return false;
		// It never answers.
		request.resume();
		abort.abort();
		return true;
	};
	const upload = (await writer()).uploadBlob(blobOf(large), { signal: abort.signal });
	await expect(upload).rejects.toMatchObject({ code: "EABORTED" });
});

test("a manifest goes under its tag, with its type", async () => {
	const bytes = Buffer.from('{"schemaVersion":2}');
	expect(await (await writer()).putManifest("1", bytes, "application/x")).toBe(digestOf(bytes));
	expect(registry.manifests.get("1")).toEqual(bytes);
	expect(registry.seen[0]?.headers["content-type"]).toBe("application/x");
});

test("a registry that has another manifest than it was sent is at fault", async () => {
	registry.intercept = (request, response) => {
		request.resume();
		response.writeHead(201, { "docker-content-digest": digestOf(small) }).end();
		return true;
	};
	await expect((await writer()).putManifest("1", large, "application/x")).rejects.toThrow(
		/wrong answer for the upload of manifest 1/,
	);
});
