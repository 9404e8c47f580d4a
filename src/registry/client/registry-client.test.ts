import { describe, expect, it, test } from "vitest";
import type { LamellaError } from "../../errors/index.ts";
import type { CredentialSource, Credentials } from "../credentials/contract.ts";
import { parseReference } from "../reference/reference.ts";
import { clientOf, digestOf, ScriptedRegistry, sendError } from "../testing/scripted-registry.ts";
import type { BlobStream } from "./blob-stream.ts";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const BLOB = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 31) % 251));

/** A repository `a` in which `1` is a manifest and one blob lies. */
async function open(): Promise<
	AsyncDisposable & { registry: ScriptedRegistry; digest: string; blob: { digest: string; size: number } }
> {
	const registry = await ScriptedRegistry.open();
	const blob = registry.addBlob(BLOB);
	const { digest } = registry.addManifest("a:1", { schemaVersion: 2, config: blob, layers: [] }, MANIFEST);
	return { registry, digest, blob, [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose]() };
}

const referenceTo = (registry: ScriptedRegistry, tag = "1") => parseReference(`${registry.host}/a:${tag}`);

async function read(stream: BlobStream): Promise<Buffer> {
	const chunks: Buffer[] = [];
	for await (const chunk of stream) chunks.push(chunk as Buffer);
	return Buffer.concat(chunks);
}

async function failureOf(work: Promise<unknown>): Promise<LamellaError> {
	try {
		await work;
	} catch (error) {
		return error as LamellaError;
	}
	throw new Error("it did not fail");
}

const withCredentials = (credentials: Credentials): CredentialSource => ({
	credentialsFor: async () => credentials,
});

describe("a tag", () => {
	it("is resolved by one HEAD", async () => {
		await using test = await open();
		await using client = clientOf([test.registry]);
		expect(await client.resolve(referenceTo(test.registry))).toEqual({ digest: test.digest });
		expect(test.registry.requests).toEqual(["HEAD /v2/a/manifests/1"]);
	});

	it("is resolved by a GET where the HEAD says no digest, or is refused", async () => {
		await using test = await open();
		await using client = clientOf([test.registry]);
		for (const status of [200, 405, 500]) {
			test.registry.script = ({ line, response }) => {
				if (!line.startsWith("HEAD")) return false;
				response.writeHead(status).end();
				return true;
			};
			const { digest, manifest } = await client.resolve(referenceTo(test.registry));
			expect(digest).toBe(test.digest);
			expect(manifest?.kind).toBe("manifest");
		}
	});

	it("that is a digest costs no request", async () => {
		await using test = await open();
		await using client = clientOf([test.registry]);
		const reference = parseReference(`${test.registry.host}/a@${test.digest}`);
		expect(await client.resolve(reference)).toEqual({ digest: test.digest });
		expect(test.registry.requests).toEqual([]);
	});
});

describe("a manifest", () => {
	test.each([
		["by a digest that it has not", "EDIGEST", { by: digestOf("another") }],
		["by a digest, and comes as bytes that are no JSON", "EDIGEST", { by: digestOf("a"), body: "{" }],
		["with a digest in the header that it has not", "EDIGEST", { digest: digestOf("another") }],
		["with something else as its digest", "EREGISTRY", { digest: "12" }],
		["of a type that is no manifest's", "EREGISTRY", { type: "text/html" }],
		["that is HTML", "EREGISTRY", { body: "<html>hello</html>" }],
		[
			"that is both manifest and index",
			"EREGISTRY",
			{ body: '{"schemaVersion":2,"layers":[],"manifests":[]}' },
		],
		[
			"that says another type than the header",
			"EREGISTRY",
			{ body: '{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","layers":[]}' },
		],
		[
			"of schema 1",
			"ENOTSUPPORTED",
			{
				body: '{"schemaVersion":1,"fsLayers":[]}',
				type: "application/vnd.docker.distribution.manifest.v1+json",
			},
		],
		["that is too long", "EREGISTRY", { body: " ".repeat((4 << 20) + 1) }],
		["that is in an encoding that nobody knows", "EREGISTRY", { encoding: "compress" }],
	])(
		"%s is refused (%s)",
		async (_, code, answer: {
			by?: string;
			digest?: string;
			type?: string;
			body?: string;
			encoding?: string;
		}) => {
			await using test = await open();
			await using client = clientOf([test.registry]);
			test.registry.script = ({ response }) => {
				response.setHeader("content-type", answer.type ?? MANIFEST);
				if (answer.digest !== undefined) response.setHeader("docker-content-digest", answer.digest);
				if (answer.encoding !== undefined) response.setHeader("content-encoding", answer.encoding);
				response.end(answer.body ?? '{"schemaVersion":2,"layers":[]}');
				return true;
			};
			const error = await failureOf(client.manifest(referenceTo(test.registry), answer.by ?? "1"));
			expect(error.code, error.message).toBe(code);
			expect(error.message).toContain(test.registry.host);
			expect(error.message).toContain(`manifest ${answer.by ?? "1"} of ${test.registry.host}/a`);
		},
	);

	test.each([
		[404, "NAME_UNKNOWN", "ENOTFOUND", /no repository/],
		[404, "MANIFEST_UNKNOWN", "ENOTFOUND", /lamella tags/],
		[401, "UNAUTHORIZED", "EUNAUTHORIZED", /lamella login/],
		[403, "DENIED", "EDENIED", /lamella login/],
		[429, "TOOMANYREQUESTS", "ERATELIMIT", /try again/],
		[503, "UNAVAILABLE", "EREGISTRY", /503, UNAVAILABLE: why/],
		[418, "TEAPOT", "EREGISTRY", /418/],
	])("that is answered with %i %s is %s", async (status, said, code, text) => {
		await using test = await open();
		await using client = clientOf([test.registry]);
		test.registry.script = ({ response }) => {
			sendError(response, status, said, "why");
			return true;
		};
		const error = await failureOf(client.manifest(referenceTo(test.registry), "1"));
		expect(error.code, error.message).toBe(code);
		expect(error.message).toMatch(text);
		expect(error.message).toContain(said);
	});

	it("is asked for again where a failure may pass, as often as is set", async () => {
		await using test = await open();
		await using client = clientOf([test.registry]);
		let failures = 3;
		test.registry.script = ({ response, request }) => {
			if (failures-- <= 0) return false;
			if (failures === 1) request.socket.destroy();
			else sendError(response, 503, "UNAVAILABLE", "why");
			return true;
		};
		expect((await client.manifest(referenceTo(test.registry), "1")).digest).toBe(test.digest);
		expect(test.registry.requests).toHaveLength(4);
	});

	it("waits as long as Retry-After says", async () => {
		await using test = await open();
		await using client = clientOf([test.registry]);
		let isFirst = true;
		test.registry.script = ({ response }) => {
			if (!isFirst) return false;
			isFirst = false;
			response.setHeader("retry-after", "1");
			sendError(response, 429, "TOOMANYREQUESTS", "slowly");
			return true;
		};
		const startMs = performance.now();
		await client.manifest(referenceTo(test.registry), "1");
		expect(performance.now() - startMs).toBeGreaterThan(950);
	});

	it("of a registry that nobody answers for fails at once", async () => {
		await using client = clientOf(
			[{ origin: "http://127.0.0.1:9", host: "127.0.0.1:9" } as ScriptedRegistry],
			{
				retry: { attempts: 5, firstDelayMs: 10_000, longestDelayMs: 10_000 },
			},
		);
		const error = await failureOf(client.manifest(parseReference("127.0.0.1:9/a:1"), "1"));
		expect(error.code).toBe("ENETWORK");
		expect(error.message).toMatch(
			/127\.0\.0\.1:9 cannot be reached \(asked for manifest 1 of 127\.0\.0\.1:9\/a/,
		);
	});
});

describe("mirrors", () => {
	it("are asked in order, told which registry is meant, and passed over where they fail", async () => {
		await using bad = await ScriptedRegistry.open();
		await using test = await open();
		bad.script = ({ response }) => {
			sendError(response, 500, "UNKNOWN", "broken");
			return true;
		};
		await using client = clientOf([bad, test.registry]);
		const reference = referenceTo(test.registry);
		expect((await client.resolve(reference)).digest).toBe(test.digest);
		expect((await client.manifest(reference, test.digest)).digest).toBe(test.digest);
		expect(await read(await client.openBlob(reference, test.blob))).toEqual(BLOB);
		const query = `?ns=${encodeURIComponent(test.registry.host)}`;
		expect(bad.requests[0]).toBe(`HEAD /v2/a/manifests/1${query}`);
		expect(test.registry.requests.every((line) => !line.includes("ns="))).toBe(true);
	});

	it("that fail all are all told", async () => {
		await using mirror = await ScriptedRegistry.open();
		await using test = await open();
		await using client = clientOf([mirror, test.registry]);
		const error = await failureOf(client.manifest(referenceTo(test.registry, "2"), "2"));
		expect(error.code).toBe("ENOTFOUND");
		expect(error.message).toContain(`${test.registry.host} has no manifest 2`);
		expect(error.message).toContain(`before it: ${mirror.host} has no manifest 2`);
	});

	it("are left for the end where they gave a wrong blob", async () => {
		await using mirror = await ScriptedRegistry.open();
		await using test = await open();
		await using client = clientOf([mirror, test.registry]);
		const avoid = new Set([mirror.origin]);
		const stream = await client.openBlob(referenceTo(test.registry), test.blob, { avoid });
		expect(await read(stream)).toEqual(BLOB);
		expect([...stream.servedBy]).toEqual([test.registry.origin]);
		expect(mirror.requests).toEqual([]);
	});
});

describe("a blob", () => {
	/** Ends the connection after so many bytes of each answer. */
	function cutting(registry: ScriptedRegistry, bytes: number, ranges: boolean): void {
		registry.script = ({ request, response }) => {
			const [, from] = /^bytes=(\d+)-$/.exec(request.headers.range ?? "") ?? [];
			const start = ranges && from !== undefined ? Number(from) : 0;
			if (start > 0) response.setHeader("content-range", `bytes ${start}-${BLOB.length - 1}/${BLOB.length}`);
			response.writeHead(start > 0 ? 206 : 200, { "content-length": BLOB.length - start });
			const end = start + bytes;
			response.write(BLOB.subarray(start, end), () => {
				if (end < BLOB.length) setTimeout(() => request.socket.destroy(), 10);
				else response.end();
			});
			return true;
		};
	}

	it("goes on where its connection broke, as long as something comes", async () => {
		await using test = await open();
		await using client = clientOf([test.registry]);
		// More pieces than there are attempts.
		cutting(test.registry, 66_000, true);
		const stream = await client.openBlob(referenceTo(test.registry), test.blob);
		expect(await read(stream)).toEqual(BLOB);
		expect(test.registry.headers.map(({ range }) => range)).toEqual([
			undefined,
			...[66_000, 132_000, 198_000, 264_000].map((at) => `bytes=${at}-`),
		]);
	});

	it("begins anew and passes over what came where the host gives no ranges", async () => {
		await using test = await open();
		await using client = clientOf([test.registry]);
		let bytes = 100_000;
		test.registry.script = (exchange) => {
			cutting(test.registry, bytes, false);
			const script = test.registry.script;
			bytes += 100_000;
			const answered = script(exchange);
			test.registry.script = again;
			return answered;
		};
		const again = test.registry.script;
		expect(await read(await client.openBlob(referenceTo(test.registry), test.blob))).toEqual(BLOB);
		expect(test.registry.requests).toHaveLength(3);
	});

	it("fails where its connection breaks again and again", async () => {
		await using test = await open();
		await using client = clientOf([test.registry]);
		cutting(test.registry, 10, true);
		const error = await failureOf(client.openBlob(referenceTo(test.registry), test.blob).then(read));
		expect(error.code).toBe("ENETWORK");
		expect(error.message).toContain(`blob ${test.blob.digest} of ${test.registry.host}/a`);
		expect(test.registry.requests).toHaveLength(4);
	});

	it("fails where the host stalls", async () => {
		await using test = await open();
		await using client = clientOf([test.registry], { retry: { attempts: 1 } });
		test.registry.script = ({ response }) => {
			response.writeHead(200, { "content-length": BLOB.length });
			response.write(BLOB.subarray(0, 1000));
			return true;
		};
		const error = await failureOf(client.openBlob(referenceTo(test.registry), test.blob).then(read));
		expect(error.code).toBe("ENETWORK");
		expect(error.message).toMatch(/after 1000 bytes/);
	});

	test.each([
		["of another length", { "content-length": "10" }, 200],
		["in an encoding", { "content-encoding": "br" }, 200],
	])("%s is refused", async (_, headers, status) => {
		await using test = await open();
		await using client = clientOf([test.registry]);
		test.registry.script = ({ response }) => {
			response.writeHead(status, headers as Record<string, string>).end(Buffer.alloc(10));
			return true;
		};
		const error = await failureOf(client.openBlob(referenceTo(test.registry), test.blob).then(read));
		expect(error.code, error.message).toBe("EREGISTRY");
	});

	it("that is longer than the manifest says is refused before it ends", async () => {
		await using test = await open();
		await using client = clientOf([test.registry]);
		test.registry.script = ({ response }) => {
			// Without a length.
			response.writeHead(200);
			response.write(BLOB);
			response.end("more");
			return true;
		};
		const error = await failureOf(client.openBlob(referenceTo(test.registry), test.blob).then(read));
		expect(error.message).toContain(`longer than the ${BLOB.length} bytes`);
	});

	it("that is not there says that the registry lost it", async () => {
		await using test = await open();
		await using client = clientOf([test.registry]);
		const lost = { digest: digestOf("lost"), size: 4 };
		const error = await failureOf(client.openBlob(referenceTo(test.registry), lost).then(read));
		expect(error.code).toBe("EREGISTRY");
		expect(error.message).toContain("has lost it");
		expect(await client.exists(referenceTo(test.registry), lost.digest)).toBe(false);
		expect(await client.exists(referenceTo(test.registry), test.blob.digest)).toBe(true);
	});

	it("stops with its signal, and when it is destroyed", async () => {
		await using test = await open();
		await using client = clientOf([test.registry]);
		const closed: Promise<void>[] = [];
		test.registry.script = ({ request, response }) => {
			closed.push(new Promise((resolve) => request.socket.once("close", () => resolve())));
			response.writeHead(200, { "content-length": BLOB.length });
			response.write(BLOB.subarray(0, 1000));
			return true;
		};
		const controller = new AbortController();
		const stream = await client.openBlob(referenceTo(test.registry), test.blob, {
			signal: controller.signal,
		});
		const reading = failureOf(read(stream));
		while (closed.length === 0) await new Promise((resolve) => setImmediate(resolve));
		controller.abort();
		expect((await reading).code).toBe("EABORTED");
		const other = await client.openBlob(referenceTo(test.registry), test.blob);
		other.read(0);
		while (closed.length === 1) await new Promise((resolve) => setImmediate(resolve));
		other.destroy();
		await Promise.all(closed);
	});
});

describe("redirects", () => {
	it("are followed to another host, which gets neither credentials nor the host's headers", async () => {
		await using elsewhere = await ScriptedRegistry.open();
		await using test = await open();
		elsewhere.addBlob(BLOB);
		const credentials = withCredentials({ username: "me", password: "secret" });
		await using client = clientOf([test.registry], { credentials });
		test.registry.script = ({ line, request, response }) => {
			if (request.headers.authorization === undefined) {
				response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
				return true;
			}
			if (!line.includes("/blobs/")) return false;
			response.writeHead(307, { location: `${elsewhere.origin}${request.url}?signature=s` }).end();
			return true;
		};
		expect(await read(await client.openBlob(referenceTo(test.registry), test.blob))).toEqual(BLOB);
		expect(test.registry.headers.at(-1)?.authorization).toMatch(/^Basic /);
		expect(test.registry.headers.at(-1)?.["x-own"]).toBe("for this host alone");
		expect(elsewhere.headers[0]?.authorization).toBeUndefined();
		expect(elsewhere.headers[0]?.["x-own"]).toBeUndefined();
	});

	it("that go in circles or to no address end", async () => {
		await using test = await open();
		await using client = clientOf([test.registry]);
		for (const [location, text] of [
			["/v2/a/manifests/1", /circles/],
			["ftp://x/y?secret", /redirect to ftp:\/\/x\/y, which is no address/],
		] as const) {
			test.registry.script = ({ response }) => {
				response.writeHead(302, { location }).end();
				return true;
			};
			const error = await failureOf(client.manifest(referenceTo(test.registry), "1"));
			expect(error.code).toBe("EREGISTRY");
			expect(error.message).toMatch(text);
			expect(error.message).not.toContain("secret");
		}
	});
});

describe("tokens", () => {
	/** Lets in who shows `good`, and tells others to get a token from `server`. */
	function guard(
		registry: ScriptedRegistry,
		server: ScriptedRegistry,
		isGood: (token: string) => boolean,
	): void {
		registry.script = ({ request, response }) => {
			if (isGood((request.headers.authorization ?? "").replace(/^Bearer /, ""))) return false;
			const challenge = `Bearer realm="${server.origin}/token",service="the registry",scope="repository:a:pull"`;
			response.setHeader("www-authenticate", challenge);
			sendError(response, 401, "UNAUTHORIZED", "who is there?");
			return true;
		};
	}

	function giving(server: ScriptedRegistry, answer: (body: string) => object | number): string[] {
		const bodies: string[] = [];
		server.script = ({ request, response }) => {
			let body = "";
			request.on("data", (chunk: Buffer) => {
				body += chunk;
			});
			request.on("end", () => {
				bodies.push(body);
				const given = answer(body);
				if (typeof given === "number") response.writeHead(given).end();
				else response.end(JSON.stringify(given));
			});
			return true;
		};
		return bodies;
	}

	it("are got once for a scope, and shown from then on", async () => {
		await using server = await ScriptedRegistry.open();
		await using test = await open();
		guard(test.registry, server, (token) => token === "good");
		giving(server, () => ({ token: "good", expires_in: 300 }));
		await using client = clientOf([test.registry]);
		const reference = referenceTo(test.registry);
		await client.resolve(reference);
		await Promise.all([
			client.manifest(reference, "1"),
			...[1, 2, 3].map(async () => read(await client.openBlob(reference, test.blob))),
		]);
		expect(server.requests).toEqual(["GET /token?service=the+registry&scope=repository%3Aa%3Apull"]);
		expect(server.headers[0]?.authorization).toBeUndefined();
		expect(test.registry.asked(/^HEAD/)).toHaveLength(2);
		expect(test.registry.asked(/^GET/)).toHaveLength(4);
	});

	it("that have run out, or are refused, are got anew", async () => {
		await using server = await ScriptedRegistry.open();
		await using test = await open();
		let good = 1;
		guard(test.registry, server, (token) => token === `token-${good}`);
		let given = 0;
		giving(server, () => ({ access_token: `token-${++given}`, expires_in: 300 }));
		await using client = clientOf([test.registry]);
		const reference = referenceTo(test.registry);
		await client.manifest(reference, "1");
		good = 2;
		await client.manifest(reference, "1");
		expect(server.requests).toHaveLength(2);
	});

	it("are got by credentials, which go to the token server and not to the registry", async () => {
		await using server = await ScriptedRegistry.open();
		await using test = await open();
		guard(test.registry, server, (token) => token === "good");
		giving(server, () => ({ token: "good" }));
		const credentials = withCredentials({ username: "me", password: "se:cret" });
		await using client = clientOf([test.registry], { credentials });
		await client.manifest(referenceTo(test.registry), "1");
		expect(server.headers[0]?.authorization).toBe(`Basic ${Buffer.from("me:se:cret").toString("base64")}`);
		expect(test.registry.headers.map(({ authorization }) => authorization)).toEqual([
			undefined,
			"Bearer good",
		]);
	});

	it("are got by an identity token through POST", async () => {
		await using server = await ScriptedRegistry.open();
		await using test = await open();
		guard(test.registry, server, (token) => token === "good");
		const bodies = giving(server, () => ({ access_token: "good" }));
		const credentials = withCredentials({ identityToken: "refresh me" });
		await using client = clientOf([test.registry], { credentials });
		await client.manifest(referenceTo(test.registry), "1");
		expect(server.requests).toEqual(["POST /token"]);
		expect(Object.fromEntries(new URLSearchParams(bodies[0]))).toEqual({
			grant_type: "refresh_token",
			client_id: "lamella",
			refresh_token: "refresh me",
			service: "the registry",
			scope: "repository:a:pull",
		});
	});

	it("of a registry's own are shown as they are", async () => {
		await using server = await ScriptedRegistry.open();
		await using test = await open();
		guard(test.registry, server, (token) => token === "own");
		await using client = clientOf([test.registry], {
			credentials: withCredentials({ registryToken: "own" }),
		});
		await client.manifest(referenceTo(test.registry), "1");
		expect(server.requests).toEqual([]);
	});

	test.each([
		["are refused to wrong credentials", () => 401, "EUNAUTHORIZED", /does not take the credentials/],
		["do not come because the server fails", () => 500, "EREGISTRY", /a token for manifest 1/],
		["are none", () => ({ hello: 1 }), "EREGISTRY", /there is no token in it/],
		["are not text for a header", () => ({ token: "a\r\nb" }), "EREGISTRY", /there is no token in it/],
		["are good for nothing", () => ({ token: "bad" }), "EUNAUTHORIZED", /lamella login/],
	])("that %s are an error", async (_, answer, code, text) => {
		await using server = await ScriptedRegistry.open();
		await using test = await open();
		guard(test.registry, server, (token) => token === "good");
		giving(server, answer);
		const credentials = withCredentials({ username: "me", password: "sesame" });
		await using client = clientOf([test.registry], { credentials });
		const error = await failureOf(client.manifest(referenceTo(test.registry), "1"));
		expect(error.code, error.message).toBe(code);
		expect(error.message).toMatch(text);
		expect(error.message).not.toMatch(/sesame|c2VzYW1l/);
	});

	it("are not asked for in plain HTTP with credentials that are for TLS", async () => {
		await using test = await open();
		test.registry.script = ({ response }) => {
			response.setHeader("www-authenticate", 'Bearer realm="ftp://x/token"');
			response.writeHead(401).end();
			return true;
		};
		await using client = clientOf([test.registry]);
		const error = await failureOf(client.manifest(referenceTo(test.registry), "1"));
		expect(error.message).toMatch(/ftp:\/\/x\/token as its token server, which is no address/);
	});

	it("are not needed where Basic is wanted", async () => {
		await using test = await open();
		const wanted = `Basic ${Buffer.from("me:secret").toString("base64")}`;
		test.registry.script = ({ request, response }) => {
			if (request.headers.authorization === wanted) return false;
			response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
			return true;
		};
		await using anonymous = clientOf([test.registry]);
		expect((await failureOf(anonymous.manifest(referenceTo(test.registry), "1"))).code).toBe("EUNAUTHORIZED");
		expect(test.registry.requests).toHaveLength(1);
		for (const password of ["secret", "wrong"]) {
			const credentials = withCredentials({ username: "me", password });
			await using client = clientOf([test.registry], { credentials });
			const asking = client.manifest(referenceTo(test.registry), "1");
			if (password === "secret") expect((await asking).digest).toBe(test.digest);
			else expect((await failureOf(asking)).message).toMatch(/credentials are wrong/);
		}
	});
});

describe("tags", () => {
	it("come page by page, each once", async () => {
		await using test = await open();
		await using client = clientOf([test.registry]);
		test.registry.script = ({ request, response }) => {
			const isFirst = !(request.url ?? "").includes("last=");
			if (isFirst) response.setHeader("link", '</v2/a/tags/list?last=2&n=1000>; rel="next"');
			response.end(JSON.stringify({ name: "a", tags: isFirst ? ["1", "2"] : ["2", "3"] }));
			return true;
		};
		expect(await client.tags(referenceTo(test.registry))).toEqual(["1", "2", "3"]);
		expect(test.registry.requests).toEqual([
			"GET /v2/a/tags/list?n=1000",
			"GET /v2/a/tags/list?last=2&n=1000",
		]);
	});

	it("may be none", async () => {
		await using test = await open();
		await using client = clientOf([test.registry]);
		test.registry.script = ({ response }) => {
			response.end('{"name":"a","tags":null}');
			return true;
		};
		expect(await client.tags(referenceTo(test.registry))).toEqual([]);
	});

	it("do not go on at another host", async () => {
		await using test = await open();
		await using client = clientOf([test.registry]);
		test.registry.script = ({ response }) => {
			response.setHeader("link", '<http://127.0.0.1:9/v2/a/tags/list>; rel="next"');
			response.end('{"tags":["1"]}');
			return true;
		};
		expect((await failureOf(client.tags(referenceTo(test.registry)))).message).toContain("another host");
	});
});
