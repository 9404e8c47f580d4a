/** The home that dockerd names may go away while the plugin runs, and be there again, empty or as another. */
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, expect, it } from "vitest";
import { makeDirectory, type TestFilesystem } from "../../../test/support/filesystems.ts";
import { PluginClient } from "../../../test/support/plugin-client.ts";
import { type LayerStore, openLayerStore } from "../../store/index.ts";
import type { RunningServer } from "../listen.ts";
import { createLogger } from "../log.ts";
import { serveDocker } from "./serve.ts";

let directory: TestFilesystem;
let home: string;
let client: PluginClient;
let server: RunningServer;

const at = (name: string): string => path.join(directory.path, name);
const start = (store?: LayerStore): Promise<RunningServer> =>
	serveDocker({
		socket: at("lamella.sock"),
		stateDirectory: at("state"),
		log: createLogger("silent"),
		store,
	});

beforeEach(async () => {
	directory = makeDirectory();
	home = at("data/lamella");
	server = await start();
	client = new PluginClient(at("lamella.sock"));
	await client.init(home);
});
afterEach(async () => {
	client[Symbol.dispose]();
	await server.close();
	directory[Symbol.dispose]();
});

const ID = "a".repeat(64);

async function makeLayer(): Promise<void> {
	await client.create(ID, "");
	await client.applyDiff(ID, "", Readable.from([Buffer.alloc(1024)]));
}

async function expectToWork(): Promise<void> {
	expect(await client.exists(ID)).toBe(false);
	await makeLayer();
	expect(await client.get(ID)).toMatch(`${home}/`);
	await client.put(ID);
	await client.remove(ID);
}

it("opens anew where its home was removed", async () => {
	await makeLayer();
	rmSync(at("data"), { recursive: true });
	await client.init(home);
	await expectToWork();
});

it("opens anew where another home stands in its place, and finds the first one again", async () => {
	await makeLayer();
	renameSync(at("data"), at("aside"));
	mkdirSync(at("data"));
	await client.init(home);
	await expectToWork();
	rmSync(at("data"), { recursive: true });
	renameSync(at("aside"), at("data"));
	await client.init(home);
	expect(await client.exists(ID)).toBe(true);
});

it("takes another home at the first Init after its own is gone", async () => {
	await makeLayer();
	rmSync(at("data"), { recursive: true });
	home = at("other/lamella");
	await client.init(home);
	await expectToWork();
});

it("makes no home by itself when it starts and the last one is not there", async () => {
	await makeLayer();
	await server.close();
	renameSync(at("data"), at("aside"));
	server = await start();
	expect(existsSync(home)).toBe(false);
	renameSync(at("aside"), at("data"));
	await client.init(home);
	expect(await client.exists(ID)).toBe(true);
});

it("says that the store of others is gone, which it cannot open anew", async () => {
	await server.close();
	await using store = await openLayerStore({ root: at("store") });
	server = await start(store);
	await client.init(home);
	await makeLayer();
	rmSync(at("data"), { recursive: true });
	await client.init(home);
	expect(await client.exists(ID)).toBe(true);
	renameSync(at("store"), at("aside"));
	await expect(client.init(home)).rejects.toThrow(/ECORRUPT: .*store.*restart lamella/);
	renameSync(at("aside"), at("store"));
});
