import { afterEach, beforeEach, expect, test } from "vitest";
import { checkLogin } from "../index.ts";
import { MemoryRegistry } from "../testing/memory-registry.ts";

let registry: MemoryRegistry;

beforeEach(async () => {
	registry = await MemoryRegistry.start();
});

afterEach(async () => {
	await registry[Symbol.asyncDispose]();
});

const hosts = { certsDirectories: [], environment: {} };
const basic = (text: string): string => `Basic ${Buffer.from(text).toString("base64")}`;

function wantsBasic(): void {
	registry.intercept = (request, response) => {
		const isGood = request.headers.authorization === basic("ann:pw");
		response.writeHead(isGood ? 200 : 401, { "www-authenticate": 'Basic realm="r"' }).end();
		return true;
	};
}

test("a registry that takes name and password is asked by its first address", async () => {
	wantsBasic();
	await checkLogin(registry.host, { username: "ann", password: "pw" }, { hosts });
	expect(registry.asked).toEqual(["GET /v2/", "GET /v2/"]);
});

test("one that does not is told by name, without the password", async () => {
	wantsBasic();
	const failure = await checkLogin(registry.host, { username: "ann", password: "hunter2" }, { hosts }).catch(
		(error: Error) => error,
	);
	expect(failure).toMatchObject({
		code: "EUNAUTHORIZED",
		message: expect.stringContaining(`does not take this name and password for ${registry.host} (401)`),
	});
	expect(JSON.stringify(failure) + String(failure)).not.toContain("hunter2");
});

test.each([
	["pw", undefined],
	["wrong", "EUNAUTHORIZED"],
])("a token server is asked without a scope (password %s)", async (password, code) => {
	await using tokens = await MemoryRegistry.start();
	tokens.intercept = (request, response) => {
		if (request.headers.authorization === basic("ann:pw")) response.end('{"token":"t"}');
		else response.writeHead(401).end();
		return true;
	};
	registry.intercept = (request, response) => {
		const realm = `Bearer realm="http://${tokens.host}/token",service="s"`;
		const isGood = request.headers.authorization === "Bearer t";
		response.writeHead(isGood ? 200 : 401, { "www-authenticate": realm }).end();
		return true;
	};
	const login = checkLogin(registry.host, { username: "ann", password }, { hosts });
	if (code === undefined) await login;
	else await expect(login).rejects.toMatchObject({ code });
	expect(tokens.seen.map(({ path }) => path)).toEqual(["/token?service=s&account=ann"]);
});

test("what is no registry takes no login", async () => {
	await expect(checkLogin(registry.host, { username: "a", password: "b" }, { hosts })).rejects.toMatchObject({
		code: "ENOTFOUND",
	});
});
