/**
 * Mixed load on `lamella serve containerd`, as clients of grpc-go's kind make it: pings, cancelled calls, a thousand calls at once,
 * readers that stop reading, messages over the limit, and peers that go away in the middle. Half a minute;
 * with LAMELLA_TEST_LONG=1 twenty.
 */
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import http2 from "node:http2";
import net from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { type Client, type ClientUnaryCall, type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Snapshots } from "../../../src/serve/containerd/generated/containerd/services/snapshots/v1/snapshots_pb.ts";
import { Health } from "../../../src/serve/containerd/generated/grpc/health/v1/health_pb.ts";
import { makeFilesystem, type TestFilesystem } from "../../support/filesystems.ts";
import { begin, connectTo, streamed } from "../../support/grpc-client.ts";
import { LamellaSnapshotter } from "../../support/lamella-snapshotter.ts";
import { SnapshotsClient } from "../../support/snapshots-client.ts";

const IS_LONG = process.env.LAMELLA_TEST_LONG === "1";
const DURATION_MS = (IS_LONG ? 20 * 60 : 30) * 1000;
/** Enough that a List is longer than what a reader that stopped lets through. */
const KEPT = 200;
const LABELS = { long: "x".repeat(4000) };
/** What a call may take while all this goes on. */
const ANSWER_MS_MAX = 20_000;
/** How often in all it is asked what its heap holds. */
const HEAP_SAMPLES = IS_LONG ? 40 : 12;

let filesystem: TestFilesystem;
let heapFile: string;
let lamella: LamellaSnapshotter;
let client: SnapshotsClient;
const clients: Client[] = [];
let over = false;

beforeAll(async () => {
	filesystem = makeFilesystem("ext4", 2 ** 30);
	heapFile = path.join(filesystem.path, "heap");
	writeFileSync(heapFile, "");
	const home = path.join(filesystem.path, "lamella");
	const NODE_OPTIONS = `${nodeOptionsOfUnit()} --import ${new URL("../../support/memory-probe.mjs", import.meta.url).href}`;
	const env = { NODE_OPTIONS, LAMELLA_TEST_HEAP_FILE: heapFile };
	lamella = await LamellaSnapshotter.start(home, ["--log-level", "warn"], env);
	client = new SnapshotsClient(lamella.socket);
	await client.prepare("base key");
	await client.commit("base", "base key");
	for (let i = 0; i < KEPT; i++) await client.view(`kept ${i}`, "base", LABELS);
});
afterAll(async () => {
	over = true;
	client?.close();
	for (const each of clients) each.close();
	await lamella?.[Symbol.asyncDispose]();
	filesystem?.[Symbol.dispose]();
});

/** What systemd starts it with. */
function nodeOptionsOfUnit(): string {
	const unit = new URL("../../../packaging/systemd/lamella.service", import.meta.url);
	return /^Environment=NODE_OPTIONS=(.+)$/m.exec(readFileSync(unit, "utf8"))?.[1] ?? "";
}

/** A client with a connection of its own. */
function connected(): Client {
	const options = { "grpc.max_send_message_length": -1, "grpc.use_local_subchannel_pool": 1 };
	const made = connectTo(lamella.socket, options);
	clients.push(made);
	return made;
}

function begun(on: Client, key = "base"): { call: ClientUnaryCall; outcome: Promise<status> } {
	const { call, answer } = begin(on, Snapshots.method.stat, { key }, { deadlineMs: ANSWER_MS_MAX });
	const outcome = answer.then(
		() => status.OK,
		({ code }: ServiceError) => code,
	);
	return { call, outcome };
}

function frame(message: Uint8Array): Buffer {
	const prefix = Buffer.alloc(5);
	prefix.writeUInt32BE(message.length, 1);
	return Buffer.concat([prefix, message]);
}

const { input } = Snapshots.method.stat;
const STAT_FRAME = frame(toBinary(input, create(input, { key: "base" })));
const headers = (method: string) => ({
	":method": "POST",
	":path": `/${Snapshots.typeName}/${method}`,
	"content-type": "application/grpc",
	te: "trailers",
});

function session(settings: http2.Settings = {}): http2.ClientHttp2Session {
	const createConnection = (): net.Socket => net.connect(lamella.socket);
	// A client of node:http2 resets streams when it has more than this, in MB, to send.
	const maxSessionMemory = 64;
	return http2
		.connect("http://localhost", { createConnection, settings, maxSessionMemory })
		.on("error", () => undefined);
}

/** A Stat without a client's comforts: what its trailers say. */
function rawStat(on: http2.ClientHttp2Session): Promise<string> {
	const stream = on.request(headers("Stat"));
	const { promise, resolve, reject } = Promise.withResolvers<string>();
	stream.on("trailers", (trailers) => resolve(String(trailers["grpc-status"])));
	stream.on("error", reject).on("close", () => reject(new Error("no trailers came")));
	stream.resume().end(STAT_FRAME);
	return promise;
}

/** Sends a ping after each message, as grpc-go does to measure the way. */
async function pings(): Promise<void> {
	const on = session();
	await new Promise((resolve) => on.once("connect", resolve));
	while (!over) {
		const pinged = Promise.withResolvers<void>();
		on.ping((error) => (error === null ? pinged.resolve() : pinged.reject(error)));
		expect(await rawStat(on)).toBe("0");
		await pinged.promise;
	}
	on.close();
}

/** Gives up half of its calls: fewer in a second than HTTP/2 takes for an attack. */
async function cancels(): Promise<void> {
	const on = connected();
	for (let i = 0; !over; i++) {
		const given = begun(on);
		const kept = begun(on);
		setTimeout(() => given.call.cancel(), i % 5);
		expect([status.CANCELLED, status.OK]).toContain(await given.outcome);
		expect(await kept.outcome).toBe(status.OK);
		await sleep(50);
	}
}

/** Gives up so many at once that its connection may be ended for it; the next call gets a new one. */
async function floods(): Promise<void> {
	const on = connected();
	while (!over) {
		const calls = Array.from({ length: 1500 }, () => begun(on));
		await sleep(5);
		for (const { call } of calls) call.cancel();
		await Promise.all(calls.map(({ outcome }) => outcome));
		let after = await begun(on).outcome;
		for (let tries = 0; after !== status.OK && tries < 50; tries++) {
			await sleep(100);
			after = await begun(on).outcome;
		}
		expect(after).toBe(status.OK);
		await sleep(5000);
	}
}

async function bursts(): Promise<void> {
	const on = connected();
	while (!over) {
		const outcomes = await Promise.all(Array.from({ length: 1000 }, () => begun(on).outcome));
		expect(outcomes.filter((outcome) => outcome !== status.OK)).toEqual([]);
		await sleep(500);
	}
}

/** Asks for everything, reads a little, and goes away without the rest. */
async function slowReaders(): Promise<void> {
	for (let i = 0; !over; i++) {
		const on = session({ initialWindowSize: 16_384 });
		const stream = on.request(headers("List"));
		stream.on("error", () => undefined).end(frame(new Uint8Array()));
		await new Promise((resolve) => stream.once("readable", resolve));
		stream.read(1000);
		await sleep(200);
		// Whole, by its end, or by its connection.
		if (i % 3 === 0) {
			let bytes = 0;
			stream.on("data", (chunk: Buffer) => {
				bytes += chunk.length;
			});
			await new Promise((resolve) => stream.once("end", resolve));
			expect(bytes).toBeGreaterThan(KEPT * 4000 - 1000);
		} else if (i % 3 === 1) stream.close(http2.constants.NGHTTP2_CANCEL);
		on.destroy();
	}
}

/** Sends more than is taken and stops at the answer, as grpc-go does; grpc-js would send the rest, with its next call behind it. */
async function tooLong(): Promise<void> {
	const long = frame(new Uint8Array(17 * 2 ** 20));
	while (!over) {
		const on = session();
		const stream = on.request(headers("Stat")).on("error", () => undefined);
		const answered = new Promise<http2.IncomingHttpHeaders>((resolve, reject) => {
			stream.once("response", resolve);
			stream.once("close", () => reject(new Error(`closed with ${stream.rstCode} and no answer`)));
		});
		stream.end(long);
		expect((await answered)["grpc-status"]).toBe(String(status.RESOURCE_EXHAUSTED));
		stream.close(http2.constants.NGHTTP2_CANCEL);
		expect(await rawStat(on)).toBe("0");
		on.destroy();
		await sleep(500);
	}
}

/** Thirty at a time watch the health of the server, and leave. */
async function watches(): Promise<void> {
	const on = connected();
	while (!over) {
		const streams = Array.from({ length: 30 }, () =>
			streamed(on, Health.method.watch, {}).on("error", () => undefined),
		);
		await Promise.all(streams.map((stream) => new Promise((resolve) => stream.once("data", resolve))));
		for (const stream of streams) stream.cancel();
		await sleep(2000);
	}
}

/** Connections that come, ask, and go; some say nothing, nonsense, or half of something. */
async function comesAndGoes(): Promise<void> {
	while (!over) {
		for (const said of ["", "GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x7f\x01"]) {
			const socket = net.connect(lamella.socket).on("error", () => undefined);
			socket.write(said);
			setTimeout(() => socket.destroy(), 20);
		}
		const fresh = Array.from({ length: 20 }, async () => {
			const on = session();
			expect(await rawStat(on)).toBe("0");
			on.destroy();
		});
		await Promise.all(fresh);
		const half = session();
		const stream = half.request(headers("Prepare")).on("error", () => undefined);
		stream.write(STAT_FRAME.subarray(0, 3));
		await sleep(100);
		half.destroy();
	}
}

async function works(): Promise<void> {
	for (let i = 0; !over; i++) {
		await client.prepare(`work ${i}`, "base");
		await client.commit(`worked ${i}`, `work ${i}`);
		expect((await client.stat(`worked ${i}`)).parent).toBe("base");
		expect(await client.names(`name~="^worked ${i}$"`)).toEqual([`worked ${i}`]);
		await client.remove(`worked ${i}`);
		await sleep(20);
	}
}

const residentMiB = (): number =>
	Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${lamella.pid}/status`, "utf8"))?.[1]) / 1024;
function openSockets(): number {
	const directory = `/proc/${lamella.pid}/fd`;
	return readdirSync(directory).filter((fd) => {
		try {
			return readlinkSync(path.join(directory, fd)).startsWith("socket:");
		} catch {
			// It was closed meanwhile.
			return false;
		}
	}).length;
}

/** What the heap held each time that all garbage was collected, so far. */
const heldMiB = (): number[] =>
	readFileSync(heapFile, "utf8")
		.split("\n")
		.filter((line) => line !== "")
		.map((line) => Number(line) / 2 ** 20);

function median(values: readonly number[]): number {
	return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** The second quarter, by when it has warmed up, and the last one. */
function halves(values: readonly number[]): { early: readonly number[]; late: readonly number[] } {
	const quarter = values.length >> 2;
	return { early: values.slice(quarter, 2 * quarter), late: values.slice(-quarter) };
}

it(
	"answers under mixed load, what it holds does not grow, and memory is given back when the load is over",
	async () => {
		const loads = [pings, cancels, floods, bursts, slowReaders, slowReaders, tooLong, watches];
		loads.push(comesAndGoes, works);
		const running = Promise.all(loads.map((load) => load()));
		// One that fails ends the test; the others end with `over`.
		const failed = running.then(() => undefined);
		const freshMiB = residentMiB();
		const samples: number[] = [];
		let asked = 0;
		let slowestMs = 0;
		const probe = connected();
		const endMs = Date.now() + DURATION_MS;
		while (Date.now() < endMs) {
			const startMs = performance.now();
			expect(await begun(probe).outcome).toBe(status.OK);
			slowestMs = Math.max(slowestMs, performance.now() - startMs);
			samples.push(residentMiB());
			if (Date.now() > endMs - DURATION_MS + (DURATION_MS * asked) / HEAP_SAMPLES) {
				asked += 1;
				process.kill(lamella.pid, "SIGUSR2");
			}
			await Promise.race([sleep(DURATION_MS / 300), failed]);
		}
		over = true;
		await running;
		const resident = halves(samples);
		// Of several, since a thousand calls are under way at some moments and none at others.
		const held = halves(heldMiB());
		const [early, late] = [median(resident.early), median(resident.late)];
		const [heldEarly, heldLate] = [Math.min(...held.early), Math.min(...held.late)];
		console.log(
			`resident ${freshMiB.toFixed(0)} MiB before, ${early.toFixed(0)} early, ${late.toFixed(0)} late; ` +
				`held ${heldEarly.toFixed(1)} early, ${heldLate.toFixed(1)} late, of ${heldMiB().length} times; ` +
				`slowest of ${samples.length} Stats ${slowestMs.toFixed(0)} ms`,
		);
		expect(heldLate).toBeLessThan(heldEarly * (IS_LONG ? 1.1 : 1.3));
		// Half a minute is not enough for the heap to reach its size.
		expect(late).toBeLessThan(early * (IS_LONG ? 1.1 : 1.6));
		for (const each of clients.splice(0)) each.close();
		client.close();
		// The one that it listens at.
		await expect.poll(openSockets, { timeout: 10_000 }).toBe(1);
		// V8 gives memory back by itself once it has little to do, but not at a moment that a test could name.
		process.kill(lamella.pid, "SIGUSR2");
		await expect.poll(residentMiB, { timeout: 30_000 }).toBeLessThan(freshMiB * 1.65);
		console.log(`resident ${residentMiB().toFixed(0)} MiB a while after`);
		expect(lamella.log()).not.toMatch(/Warning|"level":"error"/);
		await lamella.stop();
		expect(lamella.log()).not.toMatch(/cut off/);
	},
	DURATION_MS + 120_000,
);
