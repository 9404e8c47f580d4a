/**
 * Decompression and compression: throughput by wall and CPU time, against the programs.
 *
 *   node --import ./scripts/ts.mjs bench/compression.ts [FILE]
 *
 * FILE is what gets compressed (its first 256 MiB); without one, a tar of /usr/lib is made.
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import zlib from "node:zlib";
import { compress, decompress, readRange } from "../src/compression/index.ts";

const ROUNDS = 3;
const MAX_BYTES = 256 << 20;
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "lamella-"));

async function drain(chunks: AsyncIterable<Uint8Array>): Promise<number> {
	let bytes = 0;
	for await (const chunk of chunks) bytes += chunk.length;
	return bytes;
}

async function measure(name: string, work: () => Promise<number>): Promise<void> {
	let bestWall = Number.POSITIVE_INFINITY;
	let bestCpu = Number.POSITIVE_INFINITY;
	let bytes = 0;
	for (let round = 0; round < ROUNDS; round++) {
		const cpuBefore = process.cpuUsage();
		const wallBefore = performance.now();
		bytes = await work();
		bestWall = Math.min(bestWall, (performance.now() - wallBefore) / 1000);
		const { user, system } = process.cpuUsage(cpuBefore);
		bestCpu = Math.min(bestCpu, (user + system) / 1e6);
	}
	const throughput = (bytes / 1e6 / bestWall).toFixed(0).padStart(6);
	const cpu = `${bestCpu.toFixed(2)} s CPU in this process`;
	console.log(`${name.padEnd(40)} ${bestWall.toFixed(2)} s  ${throughput} MB/s  ${cpu}`);
}

function shell(script: string): void {
	const { status, stderr } = spawnSync("/bin/sh", ["-c", script]);
	if (status !== 0) throw new Error(stderr.toString());
}

try {
	const plain = path.join(directory, "plain");
	const [file] = process.argv.slice(2);
	const from = file === undefined ? "tar -cf - -C / usr/lib 2>/dev/null" : `cat '${file}'`;
	shell(`${from} | head -c ${MAX_BYTES} > '${plain}'`);
	shell(`gzip -6 -c '${plain}' > '${plain}.gz'; zstd -q -3 -c '${plain}' > '${plain}.zst'`);
	const size = fs.statSync(plain).size;
	const all = (name: string): AsyncIterable<Buffer> => readRange(name, 0, fs.statSync(name).size);

	console.log(`${(size / 1e6).toFixed(0)} MB; Node ${process.version}\n`);
	await measure("gunzip", () => drain(decompress(all(`${plain}.gz`), "gzip")));
	await measure("gunzip as node:zlib does it unasked", () =>
		drain(fs.createReadStream(`${plain}.gz`).pipe(zlib.createGunzip())),
	);
	await measure("unzstd", () => drain(decompress(all(`${plain}.zst`), "zstd")));
	for (const [name, level] of [
		["gzip", 6],
		["gzip", 1],
		["zstd", 3],
	] as const) {
		await measure(`${name} -${level}`, async () => {
			const stream = compress(name, { level });
			const written = drain(stream as AsyncIterable<Buffer>);
			for await (const chunk of all(plain)) {
				await new Promise<void>((resolve, reject) => {
					stream.write(chunk, (error) => (error ? reject(error) : resolve()));
				});
			}
			stream.end();
			await written;
			return size;
		});
	}
	console.log();
	for (const command of [`gzip -dc '${plain}.gz'`, `pigz -dc '${plain}.gz'`, `zstd -dcq '${plain}.zst'`]) {
		await measure(command.replaceAll(directory, ""), async () => {
			shell(`${command} > /dev/null`);
			return size;
		});
	}
} finally {
	fs.rmSync(directory, { recursive: true, force: true });
}
