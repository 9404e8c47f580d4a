/** The health check as probes use it: by a client of grpc.health.v1. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Client, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, it } from "vitest";
import { begin, connectTo, streamed } from "../../../test/support/grpc-client.ts";
import { type LayerStore, openLayerStore } from "../../store/index.ts";
import type { RunningServer } from "../listen.ts";
import { createLogger } from "../log.ts";
import {
	Health,
	HealthCheckResponse_ServingStatus as Serving,
} from "./generated/grpc/health/v1/health_pb.ts";
import { serveContainerd } from "./serve.ts";

const SNAPSHOTS = "containerd.services.snapshots.v1.Snapshots";

let directory: string;
let store: LayerStore;
let server: RunningServer;
let client: Client;

beforeEach(async () => {
	directory = mkdtempSync(path.join(tmpdir(), "lamella-"));
	store = await openLayerStore({ root: path.join(directory, "store"), driver: "vfs" });
	const socket = path.join(directory, "s.sock");
	server = await serveContainerd({ store, socket, log: createLogger("silent") });
	client = connectTo(socket);
});
afterEach(async () => {
	client.close();
	await server.close();
	await store.close();
	rmSync(directory, { recursive: true, force: true });
});

const check = async (service: string): Promise<Serving> =>
	(await begin(client, Health.method.check, { service }).answer).status;

async function* watch(service: string): AsyncGenerator<Serving> {
	for await (const { status } of streamed(client, Health.method.watch, { service })) yield status;
}

it("serves as a whole and as a snapshotter, and knows no other service", async () => {
	expect(await check("")).toBe(Serving.SERVING);
	expect(await check(SNAPSHOTS)).toBe(Serving.SERVING);
	await expect(check("other")).rejects.toMatchObject({ code: status.NOT_FOUND });
});

it("does not serve once its store is closed", async () => {
	await store.close();
	expect(await check("")).toBe(Serving.NOT_SERVING);
});

it("tells a watcher when it ends, and of a service that it does not know", async () => {
	const known = watch(SNAPSHOTS);
	const unknown = watch("other");
	expect((await known.next()).value).toBe(Serving.SERVING);
	expect((await unknown.next()).value).toBe(Serving.SERVICE_UNKNOWN);
	const closed = server.close();
	expect((await known.next()).value).toBe(Serving.NOT_SERVING);
	expect((await known.next()).done).toBe(true);
	expect((await unknown.next()).done).toBe(true);
	await closed;
});

it("has no reflection", async () => {
	const call = new Promise((_, reject) => {
		const method = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
		client.makeUnaryRequest(
			method,
			(bytes) => bytes,
			(bytes) => bytes,
			Buffer.alloc(0),
			reject,
		);
	});
	await expect(call).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
});
