/**
 * Who may have what: registries with TLS of an own CA, with passwords, behind a token server. What is refused is told apart, with
 * what to do; and what was shown as credentials stands in nothing that is printed.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type KeyPair, makeAuthority, makeCertificate } from "../../../src/registry/testing/certificates.ts";
import { makeDirectory, type TestFilesystem } from "../../support/filesystems.ts";
import { tryLamellaAsync } from "../../support/lamella.ts";
import { type Output, runAsync } from "../../support/processes.ts";
import { CuttingRelay } from "../../support/registry/cutting-relay.ts";
import { DockerRegistry, type Login } from "../../support/registry/docker-registry.ts";
import { cutAfter, registryError, requests } from "../../support/registry/faults.ts";
import { HERE, imageOf, indexOf, publish, tarsOf, writeImageLayout } from "../../support/registry/images.ts";
import { MisbehavingProxy } from "../../support/registry/misbehaving-proxy.ts";
import { TokenServer } from "../../support/registry/token-server.ts";

const MIB = 1 << 20;
const ANN: Login = { username: "ann", password: "open: sésame" };
const tars = tarsOf(2, { bulkBytes: 3 * MIB });
const image = imageOf(tars);

let directory: TestFilesystem;
let authority: KeyPair;
let certificate: KeyPair;
let environments = 0;

const at = (...names: string[]): string => path.join(directory.path, ...names);

beforeAll(() => {
	directory = makeDirectory("lamella-authorization-");
	authority = makeAuthority(directory.path);
	certificate = makeCertificate(directory.path, "server", authority);
	writeImageLayout(at("layout"), image, "made");
});

afterAll(() => directory?.[Symbol.dispose]());

/** Puts the image there, by skopeo. */
async function fill(registry: DockerRegistry, login?: Login): Promise<void> {
	const creds = login === undefined ? [] : ["--dest-creds", `${login.username}:${login.password}`];
	const target = `docker://${registry.host}/team/app:1`;
	const words = ["copy", "--dest-tls-verify=false", ...creds, `oci:${at("layout")}:made`, target];
	await runAsync("skopeo", ["--insecure-policy", ...words]);
}

/** A person with a home and a store of their own, who trusts the tests' CA. */
function person(): {
	readonly configFile: string;
	run(args: readonly string[], input?: string): Promise<Output>;
} {
	environments += 1;
	const home = at(`home-${environments}`);
	const root = at(`store-${environments}`);
	const env = {
		HOME: home,
		DOCKER_CONFIG: path.join(home, ".docker"),
		XDG_RUNTIME_DIR: path.join(home, "run"),
		SSL_CERT_FILE: authority.certificate,
		REGISTRY_AUTH_FILE: undefined,
	};
	return {
		configFile: path.join(home, ".docker/config.json"),
		run: (args, input = "") => tryLamellaAsync(root, args, { env, input }),
	};
}

describe("a registry with TLS of an own CA", () => {
	let registry: DockerRegistry;
	beforeAll(async () => {
		registry = await DockerRegistry.start({ tls: certificate });
		await fill(registry);
	});
	afterAll(() => registry?.[Symbol.asyncDispose]());

	test("gives its image to who knows the CA, and is not trusted by others", async () => {
		const { run } = person();
		expect((await run(["pull", `${registry.host}/team/app:1`])).code).toBe(0);
		const env = { SSL_CERT_FILE: "/etc/ssl/certs/ca-certificates.crt" };
		const refused = await tryLamellaAsync(at("untrusting"), ["pull", `${registry.host}/team/app:1`], { env });
		expect(refused.code).toBe(1);
		expect(refused.stderr).toContain(registry.host);
		expect(refused.stderr).toMatch(/not trusted.*registries\.md/s);
	});

	test.each([10, 600, 1500, 100_000, MIB])(
		"that hangs up after %i bytes of TLS gives its image all the same",
		async (bytes) => {
			await using relay = await CuttingRelay.start(registry.port, [Number.POSITIVE_INFINITY, bytes, bytes]);
			const { run } = person();
			const { code, stderr } = await run(["pull", `${relay.host}/team/app:1`]);
			expect(code, stderr).toBe(0);
		},
	);

	test("that always hangs up in the middle of the handshake is named", async () => {
		await using relay = await CuttingRelay.start(registry.port, Array<number>(100).fill(600));
		const { run } = person();
		const { code, stderr } = await run(["pull", `${relay.host}/team/app:1`]);
		expect(code).toBe(1);
		expect(stderr).toContain(relay.host);
		expect(stderr).toContain("team/app");
	});
});

describe.each(["a password", "a token server"])("a registry with %s", (kind) => {
	let registry: DockerRegistry;
	let tokens: TokenServer | undefined;

	beforeAll(async () => {
		if (kind === "a password") registry = await DockerRegistry.start({ tls: certificate, login: ANN });
		else {
			const signer = makeAuthority(directory.path, "signer");
			tokens = await TokenServer.start({ signer, login: ANN, loginToPull: true, tls: certificate });
			registry = await DockerRegistry.start({ tls: certificate, token: tokens.auth });
		}
		await fill(registry, ANN);
	});
	afterAll(async () => {
		await registry?.[Symbol.asyncDispose]();
		await tokens?.[Symbol.asyncDispose]();
	});

	const reference = (tag = "1"): string => `${registry.host}/team/app:${tag}`;

	/** Neither the password nor a token, however it is written. */
	function expectNoSecret({ stdout, stderr }: Output): void {
		const basic = Buffer.from(`${ANN.username}:${ANN.password}`).toString("base64");
		for (const secret of [ANN.password, "sésame", basic, ...(tokens?.tokens ?? [])])
			expect(stdout + stderr).not.toContain(secret);
	}

	test("says to strangers how to log in, and lets in who did until they log out", async () => {
		const { run, configFile } = person();
		const stranger = await run(["pull", reference()]);
		expect(stranger.code).toBe(1);
		expect(stranger.stderr).toContain(`lamella login ${registry.host}`);
		expect(stranger.stderr).toContain("team/app");

		const login = ["login", registry.host, "--username", ANN.username, "--password-stdin"];
		const mistaken = await run(login, "wrong");
		expect(mistaken.code).toBe(1);
		expect(mistaken.stderr).toContain(registry.host);
		expect(existsSync(configFile)).toBe(false);

		const welcome = await run(login, `${ANN.password}\n`);
		expect(welcome.code, welcome.stderr).toBe(0);
		expect(JSON.parse(readFileSync(configFile, "utf8"))).toHaveProperty(["auths", registry.host]);
		const all: Output[] = [mistaken, welcome];
		for (const args of [
			["pull", reference(), "--json"],
			["push", reference(), reference("again"), "--json"],
			["manifest", reference("again")],
			["tags", `${registry.host}/team/app`],
			["--debug", "pull", reference("nothing")],
		]) {
			const done = await run(args);
			expect(done.code, done.stderr).toBe(args.includes("--debug") ? 3 : 0);
			all.push(done);
		}
		for (const each of all) expectNoSecret(each);

		expect((await run(["logout", registry.host])).code).toBe(0);
		expect((await run(["pull", reference("again")])).stderr).toContain(`lamella login ${registry.host}`);
	});

	test("says that wrong credentials are wrong", async () => {
		const stored = { auths: { [registry.host]: { username: ANN.username, password: "stale secret" } } };
		const file = at(`stale-${kind.length}.json`);
		writeFileSync(file, JSON.stringify(stored));
		const env = { REGISTRY_AUTH_FILE: file, SSL_CERT_FILE: authority.certificate };
		const refused = await tryLamellaAsync(at("stale"), ["pull", reference()], { env });
		expect(refused.code).toBe(1);
		expect(refused.stderr).toMatch(/credentials/);
		expect(refused.stderr).toContain(`lamella login ${registry.host}`);
		expect(refused.stderr).not.toContain("stale secret");
	});
});

describe("tokens that live for seconds", () => {
	test("are renewed in the middle of a pull", async () => {
		const signer = makeAuthority(directory.path, "signer");
		await using tokens = await TokenServer.start({ signer, tokenSeconds: 2 });
		await using registry = await DockerRegistry.start({ token: tokens.auth });
		await fill(registry);
		await using proxy = await MisbehavingProxy.start(registry.origin);
		const bulk = image.blobs.at(-1)?.digest ?? "-";
		proxy.misbehave({
			when: requests(new RegExp(bulk)),
			times: 2,
			fault: async (exchange) => {
				await cutAfter(MIB)(exchange);
				// Until nothing of before is good any more.
				await new Promise((resolve) => setTimeout(resolve, 2500));
			},
		});
		const { run } = person();
		const { code, stderr } = await run(["pull", `${proxy.host}/team/app:1`]);
		expect(code, stderr).toBe(0);
		expect(tokens.requests.length).toBeGreaterThan(1);
	});
});

describe("what is not there, or not for everybody", () => {
	let registry: DockerRegistry;
	let proxy: MisbehavingProxy;
	const foreign = [
		{ architecture: "s390x", os: "linux" },
		{ architecture: "arm", os: "linux", variant: "v7" },
	];

	beforeAll(async () => {
		registry = await DockerRegistry.start();
		await fill(registry);
		const others = foreign.map((platform) => imageOf(tars.slice(0, 1), { platform }));
		await publish(registry.origin, "team/foreign", indexOf(others, { attested: true }), "1");
		proxy = await MisbehavingProxy.start(registry.origin);
	});
	afterAll(async () => {
		await proxy?.[Symbol.asyncDispose]();
		await registry?.[Symbol.asyncDispose]();
	});

	async function failing(reference: string): Promise<Output> {
		const { run } = person();
		const done = await run(["pull", `${proxy.host}/${reference}`]);
		expect(done.code).not.toBe(0);
		expect(done.stderr).toContain(proxy.host);
		return done;
	}

	test("a tag that is unknown: where to look for tags", async () => {
		const { code, stderr } = await failing("team/app:none");
		expect(code).toBe(3);
		expect(stderr).toContain(`lamella tags ${proxy.host}/team/app`);
	});

	test("a repository that is unknown is said to be so", async () => {
		const { run } = person();
		const { code, stderr } = await run(["tags", `${proxy.host}/team/nothing`]);
		expect(code).toBe(3);
		expect(stderr).toContain(`no repository ${proxy.host}/team/nothing`);
		expect((await failing("team/nothing:1")).code).toBe(3);
	});

	test("a platform that is missing: which ones there are", async () => {
		const { code, stderr } = await failing("team/foreign:1");
		expect(code).toBe(3);
		expect(stderr).toContain(`linux/${HERE.architecture}`);
		expect(stderr).toMatch(/linux\/s390x.*linux\/arm\/v7/);
		expect(stderr).not.toContain("unknown/unknown");
		const { run } = person();
		const other = await run(["pull", "--platform", "linux/arm/v7", `${proxy.host}/team/foreign:1`]);
		expect(other.code, other.stderr).toBe(0);
	});

	test("what is forbidden: who may have it", async () => {
		const denied = registryError(403, "DENIED", "requested access to the resource is denied");
		proxy.misbehave({ when: () => true, fault: denied });
		const { code, stderr } = await failing("team/app:1");
		proxy.misbehave();
		expect(code).toBe(1);
		expect(stderr).toMatch(/403.*DENIED/);
		expect(stderr).toContain(`lamella login ${proxy.host}`);
	});

	test("a registry that nobody answers for", async () => {
		const { run } = person();
		const { code, stderr } = await run(["pull", "127.0.0.1:1/team/app:1"]);
		expect(code).toBe(1);
		expect(stderr).toMatch(/127\.0\.0\.1:1 cannot be reached.*team\/app/);
	});
});
