/**
 * The tar codec alone, in memory: MB/s and entries/s of reading and writing, by CPU time.
 *
 *   node --import ./scripts/ts.mjs bench/tar-codec.ts [ARCHIVE.tar]
 *
 * With an archive, that is read, too (the first 256 MiB of it).
 */
import fs from "node:fs";
import { type TarEntry, TarReader, TarWriter } from "../src/tar/index.ts";

const CHUNK_BYTES = 1 << 20;
const ROUNDS = 5;

interface Work {
	readonly bytes: number;
	readonly entries: number;
}

/** The best of some rounds: other work on the machine only ever makes a round slower. */
function measure(name: string, work: () => Work): void {
	let best = Number.POSITIVE_INFINITY;
	let done: Work = { bytes: 0, entries: 0 };
	for (let round = 0; round < ROUNDS; round++) {
		const before = process.cpuUsage();
		done = work();
		const { user, system } = process.cpuUsage(before);
		best = Math.min(best, (user + system) / 1e6);
	}
	const perEntry = (best / done.entries) * 1e6;
	console.log(
		[
			name.padEnd(34),
			`${(best * 1000).toFixed(0).padStart(6)} ms CPU`,
			`${(done.bytes / 1e6 / best).toFixed(0).padStart(7)} MB/s`,
			`${(done.entries / best).toFixed(0).padStart(9)} entries/s`,
			`${perEntry.toFixed(2).padStart(8)} µs/entry`,
		].join("  "),
	);
}

function read(archive: Buffer, raw: boolean): Work {
	let entries = 0;
	let bytes = 0;
	const handler = {
		entry: () => {
			entries++;
		},
		data: (chunk: Uint8Array) => {
			bytes += chunk.length;
		},
		entryEnd: () => {},
	};
	const reader = new TarReader(raw ? { ...handler, raw: (chunk) => (bytes += chunk.length) } : handler);
	for (let at = 0; at < archive.length; at += CHUNK_BYTES)
		reader.write(archive.subarray(at, at + CHUNK_BYTES));
	return { bytes: archive.length, entries };
}

function write(list: readonly TarEntry[], sink: (chunk: Uint8Array) => void): Work {
	let bytes = 0;
	const writer = new TarWriter((chunk) => {
		bytes += chunk.length;
		sink(chunk);
	});
	const content = Buffer.alloc(CHUNK_BYTES, 7);
	for (const entry of list) {
		writer.entry(entry);
		for (let left = entry.sizeBytes; left > 0; left -= CHUNK_BYTES) {
			writer.data(left >= CHUNK_BYTES ? content : content.subarray(0, left));
		}
		writer.entryEnd();
	}
	writer.finish();
	return { bytes, entries: list.length };
}

function entriesOf(count: number, sizeBytes: number, changes: Partial<TarEntry>): TarEntry[] {
	return Array.from({ length: count }, (_, i) => ({
		path: Buffer.from(`usr/share/doc/package-${i >> 4}/some-file-${i}`),
		type: "file" as const,
		mode: 0o644,
		uid: 0,
		gid: 0,
		uname: Buffer.from("root"),
		gname: Buffer.from("root"),
		sizeBytes,
		mtimeNs: 1_700_000_000_000_000_000n,
		linkPath: Buffer.alloc(0),
		deviceMajor: 0,
		deviceMinor: 0,
		xattrs: [],
		...changes,
	}));
}

const cases: readonly (readonly [string, readonly TarEntry[]])[] = [
	["50,000 empty files, ustar", entriesOf(50_000, 0, {})],
	["50,000 empty files, PAX times", entriesOf(50_000, 0, { mtimeNs: 1_700_000_000_123_456_789n })],
	[
		"50,000 empty files, PAX and xattr",
		entriesOf(50_000, 0, {
			mtimeNs: 1_700_000_000_123_456_789n,
			xattrs: [{ name: Buffer.from("security.capability"), value: Buffer.alloc(20, 1) }],
		}),
	],
	["20,000 files of 8 KiB", entriesOf(20_000, 8192, {})],
	["200 files of 1 MiB", entriesOf(200, 1 << 20, {})],
];
for (const [name, list] of cases) {
	const chunks: Buffer[] = [];
	write(list, (chunk) => chunks.push(Buffer.from(chunk)));
	const archive = Buffer.concat(chunks);
	console.log(`\n${name}`);
	measure("  write", () => write(list, () => {}));
	measure("  read", () => read(archive, false));
	measure("  read with raw bytes", () => read(archive, true));
}

const [file] = process.argv.slice(2);
if (file !== undefined) {
	const fd = fs.openSync(file, "r");
	const archive = Buffer.alloc(Math.min(fs.fstatSync(fd).size, 256 << 20));
	fs.readSync(fd, archive, 0, archive.length, 0);
	fs.closeSync(fd);
	console.log(`\n${file}`);
	measure("  read", () => read(archive, false));
	measure("  read with raw bytes", () => read(archive, true));
}
