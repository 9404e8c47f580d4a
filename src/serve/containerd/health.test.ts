/** The health check as probes use it: by a client of grpc.health.v1. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type LayerStore, openLayerStore } from "../../store/index.ts";
import type { RunningServer } from "../listen.ts";
import { createLogger } from "../log.ts";
import {
	HealthCheckRequestSchema,
	HealthCheckResponseSchema,
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
	client = new Client(`unix:${socket}`, credentials.createInsecure(), {
		"grpc.default_authority": "localhost",
	});
});
afterEach(async () => {
	client.close();
	await server.close();
	await store.close();
	rmSync(directory, { recursive: true, force: true });
});

const encode = (service: string): Buffer =>
	Buffer.from(toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service })));
const decode = (bytes: Buffer): Serving => fromBinary(HealthCheckResponseSchema, bytes).status;

const check = (service: string): Promise<Serving> =>
	new Promise((resolve, reject) => {
		client.makeUnaryRequest("/grpc.health.v1.Health/Check", encode, decode, service, (error, answer) => {
			if (error !== null) reject(error);
			else if (answer === undefined) reject(new Error("no answer"));
			else resolve(answer);
		});
	});

async function* watch(service: string): AsyncGenerator<Serving> {
	const stream = client.makeServerStreamRequest("/grpc.health.v1.Health/Watch", encode, decode, service);
	for await (const answer of stream) yield answer as Serving;
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
		client.makeUnaryRequest(method, encode, decode, "", (error) => reject(error));
	});
	await expect(call).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
});
