/**
 * Whatever a registry does wrong, a pull ends in the image that was meant, or in an error that names the host, the repository,
 * what was asked and what came; never in another image, and nothing is left behind.
 */
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type LamellaError, openStore, type PullOptions } from "../../../src/index.ts";
import { makeAuthority } from "../../../src/registry/testing/certificates.ts";
import { makeDirectory, type TestFilesystem } from "../../support/filesystems.ts";
import { until } from "../../support/processes.ts";
import { DockerRegistry } from "../../support/registry/docker-registry.ts";
import {
	answer,
	blobs,
	chunked,
	cutAfter,
	gzipped,
	hangUp,
	header,
	html,
	ignoreRange,
	inTurn,
	lieOfRange,
	manifests,
	redirect,
	refuseRange,
	registryError,
	requests,
	silence,
	stallAfter,
	tooLongBy,
	tooShortBy,
	wrongByteAt,
} from "../../support/registry/faults.ts";
import { imageOf, publish, tarsOf } from "../../support/registry/images.ts";
import { type Fault, MisbehavingProxy, type Rule } from "../../support/registry/misbehaving-proxy.ts";
import { importedTree, leftIn, type Tree, treeOfImage } from "../../support/registry/stores.ts";
import { TokenServer } from "../../support/registry/token-server.ts";
import { expectSameTree } from "../../support/same-tree.ts";

const MIB = 1 << 20;
const REPOSITORY = "team/app";

/** Five layers, the last one of 5 MiB that no compressor makes smaller. */
const image = imageOf(tarsOf(4, { bulkBytes: 5 * MIB }));
const [config, ...layers] = image.blobs;
const configBlob = requests(new RegExp(`^GET .*/blobs/${config?.digest}`));
const bulk = requests(new RegExp(`^GET .*/blobs/${layers.at(-1)?.digest}`));
const headOfTag = requests(/^HEAD .*\/manifests\/1/);
const manifest = requests(/^GET .*\/manifests\//);

let directory: TestFilesystem;
let registry: DockerRegistry;
let proxy: MisbehavingProxy;
/** Where a redirect may lead: another host. */
let elsewhere: MisbehavingProxy;
let tokens: TokenServer;
let tree: Tree;

const at = (...names: string[]): string => path.join(directory.path, ...names);

beforeAll(async () => {
	directory = makeDirectory("lamella-misbehaving-");
	registry = await DockerRegistry.start();
	await publish(registry.origin, REPOSITORY, image, "1");
	proxy = await MisbehavingProxy.start(registry.origin);
	elsewhere = await MisbehavingProxy.start(registry.origin, "127.0.0.2");
	tokens = await TokenServer.start({ signer: makeAuthority(directory.path, "signer") });
	mkdirSync(at("import"));
	tree = await importedTree(at("import"), image);
});

afterAll(async () => {
	for (const server of [tokens, elsewhere, proxy, registry]) await server?.[Symbol.asyncDispose]();
	directory?.[Symbol.dispose]();
});

const openFiles = (): number => readdirSync("/proc/self/fd").length;

/** Short, so that what never answers is given up within the test's time. */
const HASTE: PullOptions = { hosts: { timeouts: { connectMs: 2000, headersMs: 500, bodyMs: 500 } } };

/** Pulls into a store that is then closed; the error where it failed. */
async function pull(root: string): Promise<LamellaError | undefined> {
	await using store = await openStore({ root });
	const reference = `${proxy.host}/${REPOSITORY}:1`;
	try {
		await store.pull(reference, HASTE);
	} catch (error) {
		expect([...store.images()]).toEqual([]);
		expect([...store.layers()]).toEqual([]);
		return error as LamellaError;
	}
	expect([...store.images()].map(({ id }) => id)).toEqual([image.config]);
	expectSameTree(await treeOfImage(store, reference), tree);
	return undefined;
}

/** Pulls by these rules; the error, or undefined where the image came as it should. */
async function pullThrough(root: string, ...rules: readonly Rule[]): Promise<LamellaError | undefined> {
	const before = openFiles();
	proxy.misbehave(...rules);
	const error = await pull(root);
	await until("the pull's descriptors to close", () => openFiles() <= before);
	if (error !== undefined) expect(leftIn(root)).toEqual([]);
	return error;
}

describe("ends with the image", () => {
	const root = (): string => at("good");
	afterEach(() => rmSync(root(), { recursive: true, force: true }));

	const once = (when: Rule["when"], fault: Fault): Rule => ({ when, fault, times: 1 });
	const twice = (when: Rule["when"], fault: Fault): Rule => ({ when, fault, times: 2 });
	const always = (when: Rule["when"], fault: Fault): Rule => ({ when, fault });
	const busy = (status: number, retryAfter?: string): Fault =>
		answer(status, retryAfter === undefined ? {} : { "retry-after": retryAfter });
	const inASecond = (): string => new Date(Date.now() + 1000).toUTCString();

	test.each<[what: string, ...rules: Rule[]]>([
		["a layer that breaks off at each megabyte", always(bulk, cutAfter(MIB))],
		["every blob that breaks off in the middle once", { when: blobs, fault: cutAfter(500), times: 5 }],
		["a config that breaks off", twice(configBlob, cutAfter(100))],
		["a manifest that breaks off", twice(manifest, cutAfter(100))],
		["a layer that stalls", twice(bulk, stallAfter(2 * MIB))],
		["a manifest that does not come", once(manifest, silence)],
		["a HEAD that does not come", once(headOfTag, silence)],
		["connections that close without an answer", twice(blobs, hangUp)],
		...[500, 503, 429].flatMap((status): [string, ...Rule[]][] => [
			[`${status} for manifests`, twice(manifests, busy(status))],
			[`${status} for blobs`, twice(blobs, busy(status))],
			[`${status} for blobs, with Retry-After`, once(blobs, busy(status, "1"))],
		]),
		["503 with a date in Retry-After", once(blobs, (exchange) => busy(503, inASecond())(exchange))],
		[
			"a layer that breaks off and is given whole again",
			once(bulk, cutAfter(MIB)),
			always(bulk, ignoreRange),
		],
		["a layer that breaks off and no ranges", once(bulk, cutAfter(MIB)), always(bulk, refuseRange)],
		["answers without a length", always(() => true, chunked)],
		["manifests without a digest", always(manifests, header("docker-content-digest", undefined))],
		["manifests as plain text", always(manifests, header("content-type", "text/plain; charset=utf-8"))],
		["manifests without a type", always(manifests, header("content-type", undefined))],
		["blobs of any type", always(blobs, header("content-type", "text/html"))],
		["a manifest in gzip that nobody asked for", always(manifest, gzipped)],
		["a HEAD that is refused", always(headOfTag, answer(405))],
		["a HEAD that is answered with a page", always(headOfTag, html)],
	])("%s", async (_, ...rules) => {
		expect(await pullThrough(root(), ...rules)).toBeUndefined();
	});

	test.each([0, 1, 2, 3, 4, 5])(
		"a layer that breaks off after %i MiB goes on from there",
		async (mebibytes) => {
			expect(await pullThrough(root(), once(bulk, cutAfter(mebibytes * MIB)))).toBeUndefined();
			const asked = proxy.requests.filter(({ path: url }) => url.includes(layers.at(-1)?.digest ?? "-"));
			expect(asked).toHaveLength(2);
			expect(asked.at(-1)?.headers.range).toBe(mebibytes === 0 ? undefined : `bytes=${mebibytes * MIB}-`);
		},
	);

	test.each([301, 302, 303, 307, 308])("blobs behind a redirect (%i) on the same host", async (status) => {
		const straight = requests(/^GET \/v2\/[^?]*\/blobs\/[^?]*$/);
		expect(await pullThrough(root(), always(straight, redirect("", status)))).toBeUndefined();
		expect(proxy.seen(/redirected=yes/)).toHaveLength(image.blobs.length);
	});

	test("blobs at another host, which sees no credentials, though it breaks off", async () => {
		const withoutToken: Rule["when"] = ({ headers }) => !tokens.accepts(headers.authorization);
		elsewhere.misbehave(once(bulk, cutAfter(MIB)));
		const scope = `repository:${REPOSITORY}:pull`;
		const error = await pullThrough(
			root(),
			always(withoutToken, answer(401, { "www-authenticate": tokens.challenge(scope) })),
			always(blobs, (exchange) => redirect(elsewhere.origin)(exchange)),
		);
		expect(error).toBeUndefined();
		expect(elsewhere.requests.length).toBe(image.blobs.length + 1);
		for (const { headers } of elsewhere.requests) expect(headers).not.toHaveProperty("authorization");
	});

	test("tokens that run out in the middle of a pull", async () => {
		const withoutToken: Rule["when"] = ({ headers }) => !tokens.accepts(headers.authorization);
		const scope = `repository:${REPOSITORY}:pull`;
		tokens.requests.length = 0;
		const error = await pullThrough(
			root(),
			always(withoutToken, answer(401, { "www-authenticate": tokens.challenge(scope) })),
			always(bulk, async (exchange) => {
				tokens.revokeAll();
				await cutAfter(MIB)(exchange);
			}),
		);
		expect(error).toBeUndefined();
		expect(tokens.requests.length).toBeGreaterThanOrEqual(5);
	});

	test("a registry that wants a token for HEAD and none for GET", async () => {
		const withoutToken: Rule["when"] = ({ headers, method }) =>
			method === "HEAD" && !tokens.accepts(headers.authorization);
		const scope = `repository:${REPOSITORY}:pull`;
		const challenge = answer(401, { "www-authenticate": tokens.challenge(scope) });
		expect(await pullThrough(root(), always(withoutToken, challenge))).toBeUndefined();
	});
});

interface Failing {
	readonly what: string;
	readonly when: Rule["when"];
	readonly fault: Fault;
	readonly code: string;
	/** What is said of what was asked and of what came. */
	readonly says: readonly RegExp[];
}

const layerBlob = new RegExp(layers.at(-1)?.digest ?? "-");
const configSaid = new RegExp(config?.digest ?? "-");
const manifestSaid = /manifest (1|sha256:)/;

const FAILING: readonly Failing[] = [
	{
		what: "502 for a layer, however often",
		when: bulk,
		fault: registryError(502, "UNKNOWN", "the disk is on fire"),
		code: "EREGISTRY",
		says: [layerBlob, /502/, /the disk is on fire/],
	},
	{
		what: "429 with an hour's pause",
		when: manifests,
		fault: answer(429, { "retry-after": "3600" }),
		code: "ERATELIMIT",
		says: [manifestSaid, /429/, /3600 seconds/],
	},
	{ what: "a layer that never comes", when: bulk, fault: hangUp, code: "ENETWORK", says: [layerBlob] },
	{
		what: "a layer that stalls for ever",
		when: bulk,
		fault: inTurn(stallAfter(MIB), stallAfter(0)),
		code: "ENETWORK",
		says: [layerBlob],
	},
	{
		what: "a manifest that never comes",
		when: manifests,
		fault: silence,
		code: "ENETWORK",
		says: [manifestSaid],
	},
	{
		what: "a wrong byte in a layer",
		when: bulk,
		fault: wrongByteAt(3 * MIB),
		code: "ECOMPRESSION",
		says: [layerBlob, /gzip data .* damaged/],
	},
	{
		what: "a wrong byte in the config",
		when: configBlob,
		fault: wrongByteAt(20),
		code: "EDIGEST",
		says: [configSaid],
	},
	{
		what: "a wrong byte in the manifest",
		when: manifest,
		fault: wrongByteAt(200),
		code: "EDIGEST",
		says: [manifestSaid, /has the digest/],
	},
	{
		what: "a layer of a greater length",
		when: bulk,
		fault: tooLongBy(10),
		code: "EREGISTRY",
		says: [layerBlob, /bytes/],
	},
	{
		what: "a layer of a smaller length",
		when: bulk,
		fault: tooShortBy(10),
		code: "EREGISTRY",
		says: [layerBlob, /bytes/],
	},
	{
		what: "a config of a greater length",
		when: configBlob,
		fault: tooLongBy(1),
		code: "EREGISTRY",
		says: [configSaid],
	},
	{
		what: "a config of a smaller length",
		when: configBlob,
		fault: tooShortBy(1),
		code: "EREGISTRY",
		says: [configSaid],
	},
	{
		what: "a manifest with more behind it",
		when: manifest,
		fault: tooLongBy(1),
		code: "EDIGEST",
		says: [manifestSaid, /JSON/],
	},
	{
		what: "a manifest of 5 MiB",
		when: manifest,
		fault: tooLongBy(5 * MIB),
		code: "EREGISTRY",
		says: [manifestSaid, /longer than 4194304 bytes/],
	},
	{
		what: "manifests of the type of a page",
		when: manifest,
		fault: header("content-type", "text/html"),
		code: "EREGISTRY",
		says: [manifestSaid, /text\/html/],
	},
	{
		what: "manifests that are said to be indexes",
		when: manifest,
		fault: header("content-type", "application/vnd.oci.image.index.v1+json"),
		code: "EREGISTRY",
		says: [manifestSaid, /image\.index/],
	},
	{
		what: "a wrong Docker-Content-Digest",
		when: manifests,
		fault: header("docker-content-digest", `sha256:${"0".repeat(64)}`),
		code: "ENOTFOUND",
		says: [manifestSaid, /sha256:0000/],
	},
	{
		what: "a Docker-Content-Digest that is none",
		when: manifests,
		fault: header("docker-content-digest", "sha256:../../etc/passwd"),
		code: "EREGISTRY",
		says: [manifestSaid, /no digest/],
	},
	{
		what: "a page for a manifest",
		when: manifest,
		fault: html,
		code: "EDIGEST",
		says: [manifestSaid, /not JSON/],
	},
	{ what: "a page for a config", when: configBlob, fault: html, code: "EREGISTRY", says: [configSaid] },
	{ what: "a page for a layer", when: bulk, fault: html, code: "EREGISTRY", says: [layerBlob] },
	{
		what: "a redirect that goes in circles",
		when: blobs,
		fault: redirect(),
		code: "EREGISTRY",
		says: [/blob sha256:/, /redirect/],
	},
	{
		what: "a redirect to a file",
		when: blobs,
		fault: answer(307, { location: "file:///etc/passwd" }),
		code: "EREGISTRY",
		says: [/blob sha256:/, /file:\/\/\/etc\/passwd/],
	},
	{
		what: "another part of the layer than was asked for",
		when: bulk,
		fault: inTurn(cutAfter(MIB), lieOfRange),
		code: "EREGISTRY",
		says: [layerBlob, /range/],
	},
	{
		what: "a layer that is gone",
		when: bulk,
		fault: registryError(404, "BLOB_UNKNOWN", "blob unknown to registry"),
		code: "EREGISTRY",
		says: [layerBlob, /404/, /BLOB_UNKNOWN/],
	},
	{
		what: "a config in gzip that nobody asked for",
		when: configBlob,
		fault: gzipped,
		code: "EREGISTRY",
		says: [configSaid, /encoding gzip/],
	},
	{
		what: "JSON that says nothing",
		when: manifest,
		fault: answer(200, {}, "null"),
		code: "EDIGEST",
		says: [manifestSaid],
	},
	{
		what: "a page for a token",
		when: () => true,
		fault: (exchange) =>
			exchange.request.url?.startsWith("/token")
				? html(exchange)
				: answer(401, { "www-authenticate": `Bearer realm="${proxy.origin}/token",service="s"` })(exchange),
		code: "EREGISTRY",
		says: [/token for manifest 1/, /not JSON/],
	},
];

describe("ends with an error that says all, and nothing is left", () => {
	test.each(FAILING)("$what", async ({ when, fault, code, says }) => {
		const error = await pullThrough(at("bad"), { when, fault });
		expect(error?.code, error?.message).toBe(code);
		// The host that gave it, beside the reference that was asked for.
		expect(error?.message.replaceAll(`${proxy.host}/${REPOSITORY}`, "")).toContain(proxy.host);
		expect(error?.message).toContain(`${proxy.host}/${REPOSITORY}`);
		for (const pattern of says) expect(error?.message).toMatch(pattern);
	});

	test("another host that refuses is named, and its address's signature is not", async () => {
		elsewhere.misbehave({ when: () => true, fault: answer(403, {}, "<Error>AccessDenied</Error>") });
		const signed: Fault = ({ request, response }) => {
			response.writeHead(307, { location: `${elsewhere.origin}${request.url}?X-Signature=geheim` }).end();
		};
		const error = await pullThrough(at("bad"), { when: blobs, fault: signed });
		elsewhere.misbehave();
		expect(error?.message).toContain(elsewhere.host);
		expect(error?.message).toContain(REPOSITORY);
		expect(error?.message).toMatch(/403/);
		expect(error?.message).not.toMatch(/geheim/);
	});

	test("and once all is well again, nothing stands in the way", async () => {
		expect(await pullThrough(at("bad"))).toBeUndefined();
	});
});
