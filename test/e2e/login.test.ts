/** `lamella login` and `logout` as a person types them: the password is asked for without echo, and comes back in no output. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MemoryRegistry } from "../../src/registry/testing/memory-registry.ts";
import { CLI } from "../support/lamella.ts";
import { Terminal } from "../support/terminal.ts";

const PASSWORD = "correct horse:battery";
let home: string;
let registry: MemoryRegistry;

beforeEach(async () => {
	home = mkdtempSync(path.join(tmpdir(), "lamella-login-"));
	registry = await MemoryRegistry.start();
	const good = `Basic ${Buffer.from(`ann:${PASSWORD}`).toString("base64")}`;
	registry.intercept = (request, response) => {
		const status = request.headers.authorization === good ? 200 : 401;
		response.writeHead(status, { "www-authenticate": 'Basic realm="test"' }).end();
		return true;
	};
});

afterEach(async () => {
	await registry[Symbol.asyncDispose]();
	rmSync(home, { recursive: true });
});

function terminal(...words: readonly string[]): Terminal {
	const line = [process.execPath, CLI, ...words].join(" ");
	return new Terminal(line, { HOME: home, PATH: process.env.PATH ?? "" });
}

const config = (): unknown => JSON.parse(readFileSync(path.join(home, ".docker/config.json"), "utf8"));

test("name and password are asked for, and stored once the registry takes them", async () => {
	using login = terminal("login", registry.host);
	await login.until("User name: ");
	login.type("ann\n");
	await login.until(`Password of ann at ${registry.host}: `);
	login.type(`${PASSWORD}\n`);
	const shown = await login.until("config.json");
	expect(await login.end()).toBe(0);
	expect(shown + login.output).not.toContain(PASSWORD);
	const auth = Buffer.from(`ann:${PASSWORD}`).toString("base64");
	expect(config()).toEqual({ auths: { [registry.host]: { auth } } });
	using logout = terminal("logout", registry.host);
	await logout.until("logged out");
	expect(await logout.end()).toBe(0);
	expect(config()).toEqual({ auths: {} });
});

test("a wrong password is refused and not stored", async () => {
	using login = terminal("login", "-u", "ann", registry.host);
	await login.until("Password of ann");
	login.type("hunter2\n");
	const shown = await login.until("does not take this name and password");
	expect(await login.end()).toBe(1);
	expect(shown + login.output).not.toContain("hunter2");
	expect(config).toThrow(/ENOENT/);
});

test("Ctrl-C at the question stores nothing and leaves the terminal as it was", async () => {
	using login = terminal("login", "-u", "ann", `${registry.host}; echo code=$?; stty -a`);
	await login.until("Password of ann");
	login.type("\x03");
	await login.until("code=130");
	await login.until(" echo ");
	expect(await login.end()).toBe(0);
	expect(config).toThrow(/ENOENT/);
});
