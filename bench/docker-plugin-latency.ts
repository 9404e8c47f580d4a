/**
 * How long the graph driver plugin's calls take over its socket, beside a node:http server that answers at once, and
 * how long the very first diff takes. Servers are processes of their own, and take turns in rounds.
 *
 *     npm run build && node --import ./scripts/ts.mjs bench/docker-plugin-latency.ts [rounds]
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { makeFilesystem } from "../test/support/filesystems.ts";
import { LamellaPlugin } from "../test/support/lamella-plugin.ts";
import { PluginClient } from "../test/support/plugin-client.ts";
import { Daemon } from "../test/support/processes.ts";

const CALLS_PER_ROUND = {
	Echo: 500,
	Exists: 500,
	"Get+Put": 50,
	Diff: 100,
	Changes: 100,
	"Create+Remove": 20,
} as const;

const ECHO = `
const http = require("node:http");
http.createServer((request, response) => {
	const chunks = [];
	request.on("data", (chunk) => chunks.push(chunk));
	request.on("end", () => {
		JSON.parse(Buffer.concat(chunks).toString() || "{}");
		const text = JSON.stringify({ Exists: true });
		response.writeHead(200, { "Content-Type": "application/json", "Content-Length": text.length });
		response.end(text);
	});
}).listen(process.argv[1]);
`;

async function main(rounds: number): Promise<void> {
	const home = mkdtempSync(path.join(tmpdir(), "lamella-bench-"));
	using filesystem = makeFilesystem("ext4", 1 << 30);
	await using plugin = await LamellaPlugin.start("lamella-bench", "silent");
	const echoSocket = path.join(home, "echo.sock");
	await using echo = new Daemon(process.execPath, ["-e", ECHO, echoSocket], {
		logFile: path.join(home, "echo.log"),
	});
	using echoClient = new PluginClient(echoSocket);
	using client = plugin.client();
	await echo.until(() => echoClient.exists("x").catch(() => false));
	await client.init(path.join(filesystem.path, "home"));
	const image = "a".repeat(64);
	await client.create(image, "");
	await client.applyDiff(image, "", Readable.from([Buffer.alloc(1024)]));
	const container = "c".repeat(64);
	await client.createReadWrite(container, image);
	const root = await client.get(container);
	mkdirSync(path.join(root, "etc"));
	for (const name of ["a", "b", "c"]) writeFileSync(path.join(root, "etc", name), name.repeat(1000));
	await client.put(container);
	const firstMs = performance.now();
	await buffer(await client.diff(container, image));
	console.log(`The first diff took ${(performance.now() - firstMs).toFixed(1)} ms`);
	let serial = 0;
	const calls: Record<keyof typeof CALLS_PER_ROUND, () => Promise<unknown>> = {
		Echo: () => echoClient.exists(image),
		Exists: () => client.exists(image),
		"Get+Put": async () => {
			await client.get(image);
			await client.put(image);
		},
		Diff: async () => buffer(await client.diff(container, image)),
		Changes: () => client.changes(container, image),
		"Create+Remove": async () => {
			const id = (++serial).toString(16).padStart(64, "0");
			await client.createReadWrite(id, image);
			await client.remove(id);
		},
	};
	const timesMs = new Map<string, number[]>(Object.keys(calls).map((name) => [name, []]));
	for (let round = -1; round < rounds; round++) {
		for (const [name, call] of Object.entries(calls)) {
			const count = CALLS_PER_ROUND[name as keyof typeof CALLS_PER_ROUND];
			for (let i = 0; i < count; i++) {
				const startMs = performance.now();
				await call();
				// The first round warms up.
				if (round >= 0) timesMs.get(name)?.push(performance.now() - startMs);
			}
		}
	}
	const rows = [...timesMs].map(([name, times]) => {
		times.sort((a, b) => a - b);
		const at = (part: number): string => (times[Math.floor(times.length * part)] ?? 0).toFixed(3);
		return { call: name, n: times.length, "p50 ms": at(0.5), "p90 ms": at(0.9), "p99 ms": at(0.99) };
	});
	console.table(rows);
	const median = (name: string): number => Number(rows.find(({ call }) => call === name)?.["p50 ms"]);
	console.log(
		`Exists takes ${(median("Exists") / median("Echo")).toFixed(2)} times what an echo takes (at most 2)`,
	);
	rmSync(home, { recursive: true, force: true });
}

await main(Number(process.argv[2] ?? 5));
