import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Credentials, openCredentials, removeLogin, storeLogin } from "../index.ts";
import { replaceEntry } from "./auth-file.ts";
import { CredentialHelper } from "./helper.ts";

let home: string;
let environment: Record<string, string>;
let pathBefore: string | undefined;

beforeEach(() => {
	home = fs.mkdtempSync(path.join(os.tmpdir(), "lamella-credentials-"));
	environment = { HOME: home, XDG_RUNTIME_DIR: path.join(home, "run") };
	pathBefore = process.env.PATH;
	process.env.PATH = `${path.join(home, "bin")}:${pathBefore}`;
});

afterEach(() => {
	process.env.PATH = pathBefore;
	fs.rmSync(home, { recursive: true });
});

const DOCKER = ".docker/config.json";
const RUNTIME = "run/containers/auth.json";
const PODMAN = ".config/containers/auth.json";

function write(name: string, content: object | string): string {
	const file = path.join(home, name);
	fs.mkdirSync(path.dirname(file), { recursive: true });
	fs.writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
	return file;
}

function read(name: string): unknown {
	return JSON.parse(fs.readFileSync(path.join(home, name), "utf8"));
}

const auth = (username: string, password: string): { auth: string } => ({
	auth: Buffer.from(`${username}:${password}`).toString("base64"),
});

async function found(host: string, repository?: string): Promise<Credentials | undefined> {
	return await openCredentials(environment).credentialsFor(host, repository);
}

/** A helper that keeps what it is given in a file; its user can be made to fail it. */
function installHelper(name = "shelf"): string {
	const shelf = path.join(home, `${name}.json`);
	const file = write(
		`bin/docker-credential-${name}`,
		`#!${process.execPath}
const fs = require("node:fs");
const shelf = ${JSON.stringify(shelf)};
const kept = fs.existsSync(shelf) ? JSON.parse(fs.readFileSync(shelf)) : {};
const input = fs.readFileSync(0, "utf8");
const [action] = process.argv.slice(2);
if (action === "get") {
	if (kept[input] === undefined) { console.log("credentials not found in native keychain"); process.exit(1); }
	console.log(JSON.stringify({ ServerURL: input, ...kept[input] }));
}
if (action === "store") { const { ServerURL, ...rest } = JSON.parse(input); kept[ServerURL] = rest; }
if (action === "erase") delete kept[input];
fs.writeFileSync(shelf, JSON.stringify(kept));
`,
	);
	fs.chmodSync(file, 0o755);
	return shelf;
}

function installScript(name: string, script: string): void {
	fs.chmodSync(write(`bin/docker-credential-${name}`, `#!/bin/sh\n${script}\n`), 0o755);
}

describe("entries of docker's config.json", () => {
	test.each<[string, object, Credentials]>([
		["auth", auth("ann", "a:b"), { username: "ann", password: "a:b" }],
		["auth filled up with zeros", auth("ann", "pw\0\0"), { username: "ann", password: "pw" }],
		["username and password", { username: "ann", password: "pw" }, { username: "ann", password: "pw" }],
		[
			"an identity token goes before a password",
			{ ...auth("ann", "pw"), identitytoken: "refresh" },
			{ identityToken: "refresh", username: "ann" },
		],
		["a registry token goes before all", { ...auth("a", "b"), registrytoken: "t" }, { registryToken: "t" }],
	])("%s", async (_, entry, credentials) => {
		write(DOCKER, { auths: { "r.example:5000": entry } });
		expect(await found("r.example:5000")).toEqual(credentials);
		expect(await found("r.example")).toBeUndefined();
	});

	test("the port of TLS may be written or left out", async () => {
		write(DOCKER, { auths: { "r.example:443": auth("ann", "pw"), "s.example": auth("bob", "pw") } });
		expect(await found("r.example")).toMatchObject({ username: "ann" });
		expect(await found("s.example:443")).toMatchObject({ username: "bob" });
	});

	test.each(["r.example", "https://r.example", "https://r.example/v1/", "http://R.example/v2"])(
		"the key %s is for r.example",
		async (key) => {
			write(DOCKER, { auths: { [key]: auth("ann", "pw") } });
			expect(await found("r.example")).toEqual({ username: "ann", password: "pw" });
		},
	);

	test.each(["https://index.docker.io/v1/", "docker.io", "registry-1.docker.io"])(
		"the key %s is for Docker Hub",
		async (key) => {
			write(DOCKER, { auths: { [key]: auth("ann", "pw") } });
			expect(await found("registry-1.docker.io")).toEqual({ username: "ann", password: "pw" });
		},
	);

	test("docker's own key for Docker Hub goes before its other names", async () => {
		write(DOCKER, {
			auths: { "docker.io": auth("old", "x"), "https://index.docker.io/v1/": auth("new", "y") },
		});
		expect(await found("registry-1.docker.io")).toEqual({ username: "new", password: "y" });
	});

	test("no file, an empty one and an empty entry have nothing", async () => {
		expect(await found("r.example")).toBeUndefined();
		write(DOCKER, "");
		expect(await found("r.example")).toBeUndefined();
		write(DOCKER, { auths: { "r.example": {} }, credHelpers: null });
		expect(await found("r.example")).toBeUndefined();
	});

	test.each([
		["{ not JSON hunter2", /config\.json cannot be used: it is not JSON$/],
		['{"auths":{"r.example":{"auth":5}}}', /"auths\.r\.example\.auth" has to be/],
		['{"auths":{"r.example":{"auth":"aHVudGVyMg=="}}}', /"auths\.r\.example\.auth" is not the base64 form/],
	])("a damaged file %j is refused by name, without what is in it", async (content, message) => {
		write(DOCKER, content);
		const failure = await found("r.example").catch((error: Error) => error);
		expect(failure).toMatchObject({ code: "ECONFIG", message: expect.stringMatching(message) });
		expect(String(failure)).not.toMatch(/hunter2|aHVudGVy/);
	});
});

describe("which file counts", () => {
	beforeEach(() => {
		write(DOCKER, { auths: { a: auth("docker", "") } });
		write(RUNTIME, { auths: { a: auth("runtime", ""), b: auth("runtime", "") } });
		write(PODMAN, { auths: { a: auth("podman", ""), b: auth("podman", ""), c: auth("podman", "") } });
	});

	test("docker's goes before podman's, the session's before the home's", async () => {
		const users = await Promise.all(["a", "b", "c", "d"].map((host) => found(host)));
		expect(users.map((user) => user && "username" in user && user.username)).toEqual([
			"docker",
			"runtime",
			"podman",
			undefined,
		]);
	});

	test("DOCKER_CONFIG says where docker's is", async () => {
		write("elsewhere/config.json", { auths: { a: auth("elsewhere", "") } });
		environment.DOCKER_CONFIG = path.join(home, "elsewhere");
		expect(await found("a")).toMatchObject({ username: "elsewhere" });
	});

	test("REGISTRY_AUTH_FILE is then the only one", async () => {
		environment.REGISTRY_AUTH_FILE = write("own.json", { auths: { c: auth("own", "") } });
		expect(await found("c")).toMatchObject({ username: "own" });
		expect(await found("a")).toBeUndefined();
	});
});

describe("podman's keys for a part of a registry", () => {
	test("the longest that fits counts, then the registry's", async () => {
		write(PODMAN, {
			auths: {
				"r.example/a/b": auth("ab", ""),
				"r.example/a": auth("a", ""),
				"r.example": auth("all", ""),
				"docker.io/team": auth("hub", ""),
			},
		});
		const user = async (host: string, repository?: string): Promise<unknown> => {
			const credentials = await found(host, repository);
			return credentials && "username" in credentials ? credentials.username : undefined;
		};
		expect(await user("r.example", "a/b")).toBe("ab");
		expect(await user("r.example", "a/b/c")).toBe("ab");
		expect(await user("r.example", "a/bc")).toBe("a");
		expect(await user("r.example", "x")).toBe("all");
		expect(await user("r.example")).toBe("all");
		expect(await user("registry-1.docker.io", "team/app")).toBe("hub");
		expect(await user("registry-1.docker.io", "other/app")).toBeUndefined();
	});
});

describe("credential helpers", () => {
	test("credHelpers goes before credsStore, and either before auths", async () => {
		write("one.json", { "r.example": { Username: "one", Secret: "1" } });
		write("all.json", {
			"r.example": { Username: "all", Secret: "x" },
			"https://index.docker.io/v1/": { Username: "hub", Secret: "2" },
		});
		installHelper("one");
		installHelper("all");
		const auths = { "r.example": auth("file", "x"), "s.example": auth("file", "3") };
		write(DOCKER, { auths, credHelpers: { "r.example": "one" }, credsStore: "all" });
		expect(await found("r.example")).toEqual({ username: "one", password: "1" });
		expect(await found("registry-1.docker.io")).toEqual({ username: "hub", password: "2" });
		expect(await found("s.example")).toEqual({ username: "file", password: "3" });
	});

	test("the user <token> has an identity token", async () => {
		write("shelf.json", { "r.example": { Username: "<token>", Secret: "refresh" } });
		installHelper();
		write(DOCKER, { credsStore: "shelf" });
		expect(await found("r.example")).toEqual({ identityToken: "refresh" });
	});

	test("a helper is asked once for a host", async () => {
		installScript("once", `echo x >> ${home}/asked; echo '{"Username":"u","Secret":"s"}'`);
		write(DOCKER, { credsStore: "once" });
		const source = openCredentials(environment);
		await Promise.all([source.credentialsFor("a"), source.credentialsFor("a", "repository")]);
		await source.credentialsFor("a");
		expect(fs.readFileSync(path.join(home, "asked"), "utf8")).toBe("x\n");
	});

	test.each([
		["is not installed", undefined, /docker-credential-broken get cannot be run: no such program in PATH/],
		["fails", "echo 'the vault is shut' >&2; exit 3", /exit code 3\): the vault is shut$/],
		["tells on stdout", "echo 'no session'; exit 1", /exit code 1\): no session$/],
		["answers nonsense", "echo hunter2", /answered for r\.example with something else than JSON/],
		["fails with a secret", `echo '{"Secret":"hunter2"}'; exit 1`, /failed for r\.example \(exit code 1\)$/],
	])("one that %s is told by name, never with the secret", async (_, script, message) => {
		if (script !== undefined) installScript("broken", script);
		write(DOCKER, { credHelpers: { "r.example": "broken" } });
		const failure = await found("r.example").catch((error: Error) => error);
		expect(failure).toMatchObject({ code: "ECONFIG", message: expect.stringMatching(message) });
		expect(String(failure)).not.toContain("hunter2");
	});

	test("one that hangs is ended", async () => {
		installScript("slow", "exec sleep 60");
		await expect(new CredentialHelper("slow", 200).get("r.example")).rejects.toThrow(
			/no answer within 0\.2 s/,
		);
	});

	test("one that answers without end is ended", async () => {
		installScript("loud", "exec yes");
		await expect(new CredentialHelper("loud").get("r.example")).rejects.toThrow(/more than a megabyte/);
	});

	test("the password does not come back in the failure of a store", async () => {
		installScript("echo", "cat >&2; exit 1");
		const failure = await new CredentialHelper("echo").store("r", "u", "hunter2").catch((e: Error) => e);
		expect(String(failure)).not.toContain("hunter2");
	});

	test("a name that leads elsewhere is refused", () => {
		expect(() => new CredentialHelper("../../tmp/x")).toThrow(/not the name of a credential helper/);
	});
});

describe("storing and removing a login", () => {
	test("a login is found again, in a file that is its owner's alone", async () => {
		expect(await storeLogin("r.example:5000", "ann", "p:w", environment)).toBe(path.join(home, DOCKER));
		expect(await found("r.example:5000")).toEqual({ username: "ann", password: "p:w" });
		expect(fs.statSync(path.join(home, DOCKER)).mode & 0o777).toBe(0o600);
		expect(fs.readdirSync(path.join(home, ".docker"))).toEqual(["config.json"]);
	});

	test("what else is in the file stays as it is", async () => {
		const others = { auths: { "s.example": auth("bob", "x") }, HttpHeaders: { a: "b" }, psFormat: "table" };
		fs.chmodSync(write(DOCKER, others), 0o644);
		await storeLogin("docker.io", "ann", "pw", environment);
		expect(read(DOCKER)).toEqual({
			...others,
			auths: { ...others.auths, "https://index.docker.io/v1/": auth("ann", "pw") },
		});
		expect(fs.statSync(path.join(home, DOCKER)).mode & 0o777).toBe(0o600);
		await removeLogin("docker.io", environment);
		expect(read(DOCKER)).toEqual(others);
	});

	test("a new login replaces all old spellings of the host", async () => {
		write(DOCKER, {
			auths: { "https://r.example/v1/": auth("old", "x"), "r.example": { identitytoken: "t" } },
		});
		await storeLogin("r.example", "ann", "pw", environment);
		expect(read(DOCKER)).toEqual({ auths: { "r.example": auth("ann", "pw") } });
	});

	test("a file that is a link stays one, and its owner's", async () => {
		const real = write("dotfiles/docker.json", {});
		fs.chownSync(real, 12345, 12346);
		fs.mkdirSync(path.join(home, ".docker"));
		fs.symlinkSync(real, path.join(home, DOCKER));
		await storeLogin("r.example", "ann", "pw", environment);
		expect(fs.lstatSync(path.join(home, DOCKER)).isSymbolicLink()).toBe(true);
		expect(fs.statSync(real)).toMatchObject({ uid: 12345, gid: 12346 });
		expect(await found("r.example")).toEqual({ username: "ann", password: "pw" });
	});

	test("a file that cannot be understood is left alone", async () => {
		const file = write(DOCKER, "{ half");
		await expect(storeLogin("r.example", "ann", "pw", environment)).rejects.toThrow(/is not JSON/);
		expect(fs.readFileSync(file, "utf8")).toBe("{ half");
	});

	test("with a helper the password goes there, and not into the file", async () => {
		installHelper();
		write(DOCKER, { credsStore: "shelf" });
		expect(await storeLogin("r.example", "ann", "pw", environment)).toBe("docker-credential-shelf");
		expect(read(DOCKER)).toEqual({ credsStore: "shelf", auths: { "r.example": {} } });
		expect(await found("r.example")).toEqual({ username: "ann", password: "pw" });
		expect((await removeLogin("r.example", environment)).from).toEqual([
			"docker-credential-shelf",
			path.join(home, DOCKER),
		]);
		expect(await found("r.example")).toBeUndefined();
	});

	test("removing says what had something, and what podman still has", async () => {
		const podman = write(PODMAN, { auths: { "r.example": auth("ann", "pw") } });
		expect(await removeLogin("r.example", environment)).toEqual({ from: [], left: [podman] });
		await storeLogin("r.example", "ann", "pw", environment);
		expect(await removeLogin("r.example", environment)).toEqual({
			from: [path.join(home, DOCKER)],
			left: [podman],
		});
	});

	test("logins side by side are all kept", async () => {
		const file = path.join(home, DOCKER);
		const script = path.join(import.meta.dirname, "../testing/login-child.ts");
		const children = Array.from({ length: 4 }, (_, i) =>
			spawn(process.execPath, [script, file, `h${i}`, "20"], { stdio: "inherit" }),
		);
		const codes = await Promise.all(children.map(async (child) => (await once(child, "exit"))[0]));
		expect(codes).toEqual([0, 0, 0, 0]);
		expect(Object.keys((read(DOCKER) as { auths: object }).auths)).toHaveLength(80);
	});

	test("a stale file of one that was killed is in nobody's way", async () => {
		const file = write(DOCKER, {});
		fs.writeFileSync(path.join(home, `.docker/.config.json.lamella`), "half");
		replaceEntry(file, "r.example", auth("ann", "pw"));
		expect(await found("r.example")).toEqual({ username: "ann", password: "pw" });
	});
});
