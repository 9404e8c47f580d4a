/** The protocol as bytes on the socket: what dockerd sends, what nobody should send, and what must not happen then. */
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import path from "node:path";
import { Readable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeDirectory, type TestFilesystem } from "../../../test/support/filesystems.ts";
import { PluginClient } from "../../../test/support/plugin-client.ts";
import type { RunningServer } from "../listen.ts";
import { createLogger } from "../log.ts";
import { serveDocker } from "./serve.ts";

let directory: TestFilesystem;
let socket: string;
let server: RunningServer;
let client: PluginClient;

const start = (): Promise<RunningServer> =>
	serveDocker({ socket, stateDirectory: path.join(directory.path, "state"), log: createLogger("silent") });

beforeAll(async () => {
	directory = makeDirectory();
	socket = path.join(directory.path, "run/lamella.sock");
	server = await start();
	client = new PluginClient(socket);
});
afterAll(async () => {
	client[Symbol.dispose]();
	await server.close();
	directory[Symbol.dispose]();
});

const alive = async (): Promise<void> => {
	expect((await client.post("/Plugin.Activate")).body).toEqual({ Implements: ["GraphDriver"] });
};

describe("the plugin protocol", () => {
	it("answers Activate and Capabilities before Init, and everything else with an error", async () => {
		await alive();
		expect((await client.post("/GraphDriver.Capabilities")).body).toEqual({
			Capabilities: { ReproducesExactDiffs: false },
		});
		await expect(client.exists("x")).rejects.toThrow(/no Init/);
		await expect(client.diff("x", "")).rejects.toMatchObject({ status: 500 });
	});

	it.each([
		["not JSON", "/GraphDriver.Get", "{", 400],
		["a list", "/GraphDriver.Get", "[]", 400],
		["a number for an id", "/GraphDriver.Get", '{"ID":1}', 400],
		["no id", "/GraphDriver.Get", "{}", 400],
		["options that are no list", "/GraphDriver.Init", '{"Home":"/x","Opts":{}}', 400],
		["maps without numbers", "/GraphDriver.Init", '{"Home":"/x","UIDMaps":[{"container_id":"0"}]}', 400],
		["a call that does not exist", "/GraphDriver.Nothing", "{}", 404],
		["a body without end", "/GraphDriver.Get", `{"ID":"${"x".repeat(2 << 20)}"}`, 400],
		["an applyDiff without id", "/GraphDriver.ApplyDiff", "", 400],
	])("answers Err to %s, and lives", async (_what, call, body, status) => {
		const answer = await client.post(call, body);
		expect(answer.status).toBe(status);
		expect(answer.body.Err).toMatch(/^lamella: EPROTOCOL: /);
		await alive();
	});

	it("answers Err to another method, and to bytes that are no HTTP", async () => {
		expect(await client.post("/GraphDriver.Exists", "", { method: "GET" })).toMatchObject({ status: 405 });
		const raw = net.connect(socket);
		raw.write("\x16\x03\x01 hello\r\n\r\n");
		expect(await text(raw)).toMatch(/^HTTP\/1.1 400 .*"Err":"lamella: EPROTOCOL/s);
		await alive();
	});

	it("holds 900 connections that come at once, and hundreds of calls on one, without a warning", async () => {
		const warnings: Error[] = [];
		const onWarning = (warning: Error) => warnings.push(warning);
		process.on("warning", onWarning);
		const answers = (answer: string, calls: string) =>
			new Promise<number>((resolve, reject) => {
				let seen = "";
				const connection = net.connect(socket);
				connection.once("error", reject);
				connection.on("data", (bytes: Buffer) => {
					seen += bytes.toString();
					const count = seen.split(answer).length - 1;
					if (count < calls.split("POST").length - 1) return;
					resolve(count);
					connection.destroy();
				});
				connection.once("close", () => resolve(-1));
				connection.write(calls);
			});
		const activate = "POST /Plugin.Activate HTTP/1.1\r\nHost: x\r\n\r\n";
		const burst = Array.from({ length: 900 }, () => answers("GraphDriver", activate));
		expect(new Set(await Promise.all(burst))).toEqual(new Set([1]));
		expect(await answers("GraphDriver", activate.repeat(300))).toBe(300);
		const refused = 'POST /GraphDriver.Diff HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"ID":"x"}';
		expect(await answers("EPROTOCOL", refused.repeat(50))).toBe(50);
		process.off("warning", onWarning);
		expect(warnings).toEqual([]);
	});

	it("survives clients that go away in the middle", async () => {
		const raw = net.connect(socket);
		raw.write("POST /GraphDriver.ApplyDiff?id=a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc");
		await once(raw, "connect");
		raw.destroy();
		await alive();
	});
});

describe("after Init", () => {
	const base = "a".repeat(64);
	beforeAll(async () => {
		await client.init(path.join(directory.path, "home"), ["lamella.flatten=never"]);
	});

	it("names options that it does not know", async () => {
		await expect(client.init(path.join(directory.path, "other"), ["overlay2.size=1G"])).rejects.toThrow(
			/overlay2\.size/,
		);
		await client.init(path.join(directory.path, "home"), ["lamella.flatten=never"]);
		expect(Object.fromEntries(await client.status())).toMatchObject({ "Flatten Policy": "never" });
	});

	it.each([
		["is no tar", base, "ETAR"],
		["is for a layer that is not there", "missing", "ENOTFOUND"],
	])(
		"answers an applyDiff that %s before its end, on a connection that lives on",
		async (_what, id, code) => {
			if (id === base) await client.create(base, "");
			const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
			const request = client.open(`/GraphDriver.ApplyDiff?id=${id}&parent=`, { agent });
			request.write(Buffer.alloc(1 << 20, "x"));
			const [response] = (await once(request, "response")) as [http.IncomingMessage];
			expect(JSON.parse(await text(response))).toMatchObject({ Err: expect.stringContaining(code) });
			request.end(Buffer.alloc(1 << 20, "x"));
			const next = client.open("/Plugin.Activate", { agent });
			next.end();
			const [answer] = (await once(next, "response")) as [http.IncomingMessage];
			expect(answer.statusCode).toBe(200);
			answer.resume();
			agent.destroy();
			expect(await client.exists(base)).toBe(true);
		},
	);

	it("takes no layer from a body that broke off", async () => {
		const raw = net.connect(socket);
		await once(raw, "connect");
		raw.write(`POST /GraphDriver.ApplyDiff?id=${base} HTTP/1.1\r\nHost: x\r\nContent-Length: 2048\r\n\r\n`);
		raw.write(Buffer.alloc(1024));
		raw.destroy();
		await expect.poll(async () => client.applyDiff(base, "", Readable.from([Buffer.alloc(1024)]))).toBe(0);
	});

	it("sends a diff as it is, and 500 with an error where there is none", async () => {
		await client.createReadWrite("c".repeat(64), base);
		expect((await buffer(await client.diff("c".repeat(64), base))).length % 512).toBe(0);
		await expect(client.diff("missing", base)).rejects.toMatchObject({ status: 500, code: "ENOTFOUND" });
		await client.remove("c".repeat(64));
	});

	it("remembers the Init and every hold when it is started again alone", async () => {
		const id = "b".repeat(64);
		await client.createReadWrite(id, base);
		const dir = await client.get(id);
		await client.get(id);
		await server.close();
		server = await start();
		expect(await client.exists(id)).toBe(true);
		await client.put(id);
		expect(await client.get(id)).toBe(dir);
		await client.put(id);
		await client.put(id);
		// A new dockerd: of two holds one remains.
		await client.get(id);
		await client.get(id);
		await client.init(path.join(directory.path, "home"), ["lamella.flatten=never"]);
		await client.put(id);
		await client.remove(id);
		expect(await client.exists(id)).toBe(false);
	});

	it("keeps its counts right under many clients at the same ids", async () => {
		const names = ["p", "q", "r"].map((letter) => letter.repeat(64));
		const tolerated = /ENOTFOUND|EEXISTS|EREFERENCED/;
		const end = Date.now() + (process.env.LAMELLA_TEST_LONG === undefined ? 1500 : 60_000);
		let random = 1;
		const next = (below: number): number => {
			random = (random * 48271) % 0x7fffffff;
			return random % below;
		};
		const worker = async (): Promise<void> => {
			while (Date.now() < end) {
				const id = names[next(names.length)] ?? base;
				try {
					switch (next(4)) {
						case 0:
							await client.createReadWrite(id, base);
							break;
						case 1:
							await client.get(id);
							await client.put(id);
							break;
						case 2:
							await client.remove(id);
							break;
						default:
							await client.exists(id);
					}
				} catch (error) {
					if (!tolerated.test(String(error))) throw error;
				}
			}
		};
		await Promise.all(Array.from({ length: 64 }, worker));
		for (const id of names) await client.remove(id);
		expect(Object.fromEntries(await client.status())).toMatchObject({
			Mounted: "0",
			Layers: "1 committed, 0 writable, 0 views",
		});
	}, 120_000);
});

describe("the end", () => {
	it("lets a call end before the socket goes", async () => {
		const request = client.open(`/GraphDriver.ApplyDiff?id=${"d".repeat(64)}&parent=`);
		await client.create("d".repeat(64), "");
		request.write(Buffer.alloc(512));
		await alive();
		const closing = server.close();
		request.end(Buffer.alloc(512));
		const [response] = (await once(request, "response")) as [http.IncomingMessage];
		expect(JSON.parse(await text(response))).toEqual({ Size: 0 });
		await closing;
		await expect(client.exists("x")).rejects.toThrow();
		server = await start();
	});
});
