import { mkdtempSync, rmSync } from "node:fs";
import http2 from "node:http2";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, type ClientReadableStream, type ServiceError, status } from "@grpc/grpc-js";
import { expect, it, vi } from "vitest";
import { begin, connectTo, streamed } from "../../../../test/support/grpc-client.ts";
import { LamellaError } from "../../../errors/index.ts";
import { claimSocket, type SocketClaim } from "../../listen.ts";
import { createLogger } from "../../log.ts";
import {
	Health,
	type HealthCheckResponse,
	HealthCheckResponse_ServingStatus as Serving,
} from "../generated/grpc/health/v1/health_pb.ts";
import { type GrpcCall, GrpcServer } from "./index.ts";
import { methodDefinition } from "./service.ts";

type Answer = MessageInitShape<typeof Health.method.check.output>;
interface Methods {
	check?(text: string, call: GrpcCall): Promise<Answer> | Answer;
	watch?(text: string, call: GrpcCall): AsyncIterable<Answer>;
}

const SERVING: Answer = { status: Serving.SERVING };

/** The health service's two methods with other work, behind a socket. */
class Served implements AsyncDisposable {
	readonly server: GrpcServer;
	readonly claim: SocketClaim;
	readonly #clients: Client[] = [];

	private constructor(server: GrpcServer, claim: SocketClaim) {
		this.server = server;
		this.claim = claim;
	}

	static async start({ check = () => SERVING, watch = async function* () {} }: Methods): Promise<Served> {
		const directory = mkdtempSync(path.join(tmpdir(), "lamella-"));
		const served = new Served(
			new GrpcServer(createLogger("silent")),
			await claimSocket(path.join(directory, "s.sock")),
		);
		served.server.add(Health, {
			check: ({ service }, call) => check(service, call),
			watch: ({ service }, call) => watch(service, call),
		});
		await served.server.listen(served.claim);
		return served;
	}

	client(authority = "localhost"): Client {
		const client = connectTo(this.claim.path, { "grpc.max_send_message_length": -1 }, authority);
		this.#clients.push(client);
		return client;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const client of this.#clients) client.close();
		await this.server.close(1000);
		this.claim.release();
		rmSync(path.dirname(this.claim.path), { recursive: true, force: true });
	}
}

const started = (client: Client, service: string, deadlineMs?: number) =>
	begin(client, Health.method.check, { service }, { deadlineMs });
const check = (client: Client, service = ""): Promise<HealthCheckResponse> => started(client, service).answer;
const watch = (client: Client, service = ""): ClientReadableStream<HealthCheckResponse> =>
	streamed(client, Health.method.watch, { service });

const failure = (promise: Promise<unknown>): Promise<ServiceError> =>
	promise.then(
		() => Promise.reject(new Error("it was answered")),
		(error: ServiceError) => error,
	);

it("answers many calls at once on one connection, among them ones that are given up", async () => {
	await using served = await Served.start({
		check: async (text) => {
			await sleep(2);
			return { status: (Number(text) % 4) as Serving };
		},
	});
	const client = served.client();
	const answers = Array.from({ length: 400 }, async (_, i) => {
		const { call, answer } = started(client, String(i));
		// By then some are on their way.
		if (i % 3 === 0) setImmediate(() => call.cancel());
		const outcome = await answer.catch((error: ServiceError) => error);
		return i % 3 === 0 || ("status" in outcome && outcome.status === i % 4);
	});
	expect(await Promise.all(answers)).not.toContain(false);
});

it("passes on a failure with its code and a message in any script, however long", async () => {
	let told = "";
	const fail = (): never => {
		throw new LamellaError("ENOTFOUND", told);
	};
	await using served = await Served.start({
		check: fail,
		watch: async function* () {
			yield SERVING;
			fail();
		},
	});
	const client = served.client();
	for (told of ["naïve 100% ☃\nsecond line", "half a \ud83d character"]) {
		expect(await failure(check(client))).toMatchObject({
			code: status.NOT_FOUND,
			details: told.toWellFormed(),
		});
	}
	// Cut in the middle of a pair.
	told = `x${"\u{1f600}".repeat(5000)}`;
	expect((await failure(check(client))).details).toMatch(/^x\u{1f600}+\ufffd$/u);
	told = "later";
	const messages: HealthCheckResponse[] = [];
	const broken = (async () => {
		for await (const message of watch(client)) messages.push(message);
	})();
	expect(await failure(broken)).toMatchObject({ code: status.NOT_FOUND, details: told });
	expect(messages).toHaveLength(1);
});

it("refuses what it does not serve, and what is too long", async () => {
	await using served = await Served.start({});
	const client = served.client();
	const plain = (bytes: Buffer): Buffer => bytes;
	const other = new Promise((_, reject) => {
		client.makeUnaryRequest("/grpc.health.v1.Health/Other", plain, plain, Buffer.alloc(0), reject);
	});
	expect((await failure(other)).code).toBe(status.UNIMPLEMENTED);
	expect((await check(client, "x".repeat(2 ** 24 - 16))).status).toBe(Serving.SERVING);
	expect((await failure(check(client, "x".repeat(2 ** 24)))).code).toBe(status.RESOURCE_EXHAUSTED);
	expect((await check(client)).status).toBe(Serving.SERVING);
});

it("tells a method when its client gives up or its deadline is over, and not once it has answered", async () => {
	const aborted: string[] = [];
	const begun = Promise.withResolvers<void>();
	const signals: AbortSignal[] = [];
	const wait = (text: string, { signal }: GrpcCall): Promise<Answer> => {
		signal.addEventListener("abort", () => aborted.push(text));
		if (text === "answered") {
			signals.push(signal);
			return Promise.resolve(SERVING);
		}
		if (text === "cancel") begun.resolve();
		return new Promise((_, reject) => {
			signal.addEventListener("abort", () => reject(signal.reason));
		});
	};
	await using served = await Served.start({
		check: wait,
		watch: async function* (text, call) {
			yield SERVING;
			yield await wait(text, call);
		},
	});
	const client = served.client();
	expect((await check(client, "answered")).status).toBe(Serving.SERVING);
	expect((await failure(started(client, "deadline", 60).answer)).code).toBe(status.DEADLINE_EXCEEDED);
	const { call, answer } = started(client, "cancel");
	await begun.promise;
	call.cancel();
	expect((await failure(answer)).code).toBe(status.CANCELLED);
	const watched = watch(client, "left");
	watched.on("error", () => undefined);
	watched.once("data", () => watched.cancel());
	await vi.waitFor(() => expect(aborted.sort()).toEqual(["cancel", "deadline", "left"]));
	expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
});

it("serves clients that name the socket as authority in percent form, as C clients do", async () => {
	await using served = await Served.start({});
	const client = served.client(encodeURIComponent(served.claim.path));
	expect((await check(client)).status).toBe(Serving.SERVING);
});

it("survives clients that do not keep to the protocol", async () => {
	await using served = await Served.start({});
	// HTTP/1, noise, and a connection that says nothing.
	for (const said of ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x00\x01\x02noise", ""]) {
		const socket = net.connect(served.claim.path);
		socket.on("error", () => undefined);
		await new Promise((resolve) => socket.write(said, resolve));
		await sleep(10);
		socket.destroy();
	}
	const session = http2.connect("http://localhost", {
		createConnection: () => net.connect(served.claim.path),
	});
	const headers = {
		":method": "POST",
		":path": methodDefinition(Health.method.check).path,
		"content-type": "application/grpc",
		te: "trailers",
	};
	for (const body of [Buffer.alloc(0), Buffer.from([0, 0, 0, 0, 2, 1]), Buffer.alloc(64, 0xff)]) {
		const stream = session.request(headers);
		stream.on("error", () => undefined);
		stream.resume();
		stream.end(body);
		await new Promise((resolve) => stream.once("close", resolve));
	}
	// Half a request, then gone.
	const half = session.request(headers);
	half.on("error", () => undefined);
	half.write(Buffer.from([0, 0]));
	await sleep(10);
	session.destroy();
	expect((await check(served.client())).status).toBe(Serving.SERVING);
});

it("drains: calls under way are answered, new ones are not taken, late ones are cut off", async () => {
	let release: () => void = () => undefined;
	const methods: Methods = {
		check: () =>
			new Promise((resolve) => {
				release = () => resolve(SERVING);
			}),
	};
	await using served = await Served.start(methods);
	const client = served.client();
	const underWay = check(client);
	await sleep(50);
	const closing = served.server.close(5000);
	await sleep(20);
	release();
	expect((await underWay).status).toBe(Serving.SERVING);
	expect(await closing).toEqual({ cutOff: 0 });
	expect((await failure(check(client))).code).toBe(status.UNAVAILABLE);

	await using stuck = await Served.start(methods);
	const lost = failure(check(stuck.client()));
	const silent = net.connect(stuck.claim.path).resume();
	await sleep(50);
	expect(await stuck.server.close(50)).toEqual({ cutOff: 1 });
	expect((await lost).code).toBe(status.UNAVAILABLE);
	silent.destroy();
});
