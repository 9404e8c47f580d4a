/**
 * The process behind a volatile disk (volatile-disk.ts): a FUSE filesystem of two files, spoken to over /dev/fuse.
 *
 *     node --import ./scripts/ts.mjs volatile-disk-process.ts MOUNTPOINT DURABLE CURRENT FLUSH_DELAY_MS
 *
 * `disk` is the disk's content. A write reaches the file CURRENT at once, and DURABLE at the next FSYNC. `control` takes commands,
 * answered once they are done: `cut SEED [LOSS]` puts a random subset of the unflushed writes into DURABLE and fails all
 * requests for `disk` from then on; `on` ends that. Reading `control` gives the counts, as JSON.
 *
 * One request at a time: a flush that takes long lets the others wait, as ATA's FLUSH CACHE does.
 * Source: the kernel's include/uapi/linux/fuse.h (structures, 7.31) and Documentation/filesystems/fuse.rst.
 */
import { fstatSync, openSync, readSync, writeSync } from "node:fs";
import * as linux from "../../src/linux/index.ts";
import { randomOf } from "../../src/store/testing/random.ts";

/** Which of the unflushed writes survive a cut. */
const LOSSES = ["all", "none", "writes", "blocks", "sectors", "prefix"] as const;
type Loss = (typeof LOSSES)[number];

const OP = {
	lookup: 1,
	forget: 2,
	getattr: 3,
	setattr: 4,
	open: 14,
	read: 15,
	write: 16,
	statfs: 17,
	release: 18,
	fsync: 20,
	flush: 25,
	init: 26,
	opendir: 27,
	readdir: 28,
	releasedir: 29,
	interrupt: 36,
	destroy: 38,
	batchForget: 42,
} as const;

const IN_HEADER_BYTES = 40;
const OUT_HEADER_BYTES = 16;
const MAX_WRITE_BYTES = 1 << 20;
const MAX_PAGES = 256;
const INIT_BIG_WRITES = 1 << 5;
const INIT_MAX_PAGES = 1 << 22;
const OPEN_DIRECT_IO = 1;
const PROTOCOL_MINOR = 31;

/** How long the kernel may keep what it was told. */
const VALID_S = 3600;

const ROOT_NODE = 1;
const DISK_NODE = 2;
const CONTROL_NODE = 3;

const ENOENT = 2;
const EIO = 5;
const ENOSYS = 38;
const EOPNOTSUPP = 95;
const FALLOCATE = 43;

const SECTOR_BYTES = 512;
const BLOCK_BYTES = 4096;

class Failed extends Error {
	readonly errno: number;

	constructor(errno: number) {
		super(`errno ${errno}`);
		this.errno = errno;
	}
}

interface UnflushedWrite {
	readonly offset: number;
	readonly data: Buffer;
}

/** The disk with its cache. */
class Disk {
	readonly sizeBytes: number;
	readonly #durable: number;
	readonly #current: number;
	readonly #flushDelayMs: number;
	/** Since the last flush, in order. */
	#unflushed: UnflushedWrite[] = [];
	#isCut = false;
	readonly #counts = { writes: 0, flushes: 0, failed: 0, lost: 0, kept: 0 };

	constructor(durable: string, current: string, flushDelayMs: number) {
		this.#durable = openSync(durable, "r+");
		this.#current = openSync(current, "r+");
		this.#flushDelayMs = flushDelayMs;
		this.sizeBytes = fstatSync(this.#durable).size;
	}

	read(offset: number, lengthBytes: number): Buffer {
		this.#mustWork();
		const data = Buffer.allocUnsafe(Math.max(0, Math.min(lengthBytes, this.sizeBytes - offset)));
		linux.pread(this.#current, data, 0, data.length, offset);
		return data;
	}

	write(offset: number, data: Buffer): void {
		this.#mustWork();
		this.#counts.writes++;
		linux.pwrite(this.#current, data, 0, data.length, offset);
		this.#unflushed.push({ offset, data: Buffer.from(data) });
	}

	flush(): void {
		this.#mustWork();
		this.#counts.flushes++;
		for (const { offset, data } of this.#unflushed) this.#keep(offset, data);
		this.#unflushed = [];
		if (this.#flushDelayMs > 0)
			Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, this.#flushDelayMs);
	}

	/** Cuts the power. Those unflushed writes become durable that `loss` lets survive. */
	cut(seed: number, loss: Loss): void {
		this.#isCut = true;
		const random = randomOf(seed);
		const portion = [0.1, 0.5, 0.9][Math.floor(random() * 3)] ?? 0.5;
		const end = Math.floor(random() * (this.#unflushed.length + 1));
		const granules: Record<Loss, number> = {
			all: 0,
			none: 0,
			writes: MAX_WRITE_BYTES,
			blocks: BLOCK_BYTES,
			sectors: SECTOR_BYTES,
			prefix: SECTOR_BYTES,
		};
		for (const [index, { offset, data }] of this.#unflushed.entries()) {
			const survives = (): boolean => {
				if (loss === "all" || loss === "none") return loss === "none";
				// A prefix ends within a write.
				if (loss === "prefix") return index < end || (index === end && random() < 0.5);
				return random() < portion;
			};
			const granule = granules[loss] || MAX_WRITE_BYTES;
			for (let at = 0; at < data.length; at += granule) {
				const part = data.subarray(at, at + granule);
				if (survives()) this.#keep(offset + at, part);
			}
		}
		this.#forgetLost();
	}

	on(): void {
		this.#isCut = false;
	}

	get report(): string {
		return JSON.stringify({ ...this.#counts, unflushed: this.#unflushed.length, isCut: this.#isCut });
	}

	/** What is read from now on is what is durable. */
	#forgetLost(): void {
		for (const { offset, data } of this.#unflushed) {
			const durable = Buffer.alloc(data.length);
			linux.pread(this.#durable, durable, 0, durable.length, offset);
			if (durable.equals(data)) this.#counts.kept++;
			else this.#counts.lost++;
			linux.pwrite(this.#current, durable, 0, durable.length, offset);
		}
		this.#unflushed = [];
	}

	#keep(offset: number, data: Buffer): void {
		linux.pwrite(this.#durable, data, 0, data.length, offset);
	}

	#mustWork(): void {
		if (!this.#isCut) return;
		this.#counts.failed++;
		throw new Failed(EIO);
	}
}

function number(bytes: Buffer, offset: number): number {
	return Number(bytes.readBigUInt64LE(offset));
}

/** Answers requests until the filesystem is unmounted. */
function serve(fuse: number, disk: Disk): void {
	const request = Buffer.alloc(IN_HEADER_BYTES + 4096 + MAX_WRITE_BYTES);
	for (;;) {
		let lengthBytes: number;
		try {
			lengthBytes = readSync(fuse, request);
		} catch (error) {
			const code = Reflect.get(error as Error, "code");
			if (code === "ENODEV") return;
			// A request that was given up before it was read.
			if (code === "EINTR" || code === "ENOENT" || code === "EAGAIN") continue;
			throw error;
		}
		const opcode = request.readUInt32LE(4);
		const unique = request.readBigUInt64LE(8);
		if (opcode === OP.forget || opcode === OP.batchForget || opcode === OP.interrupt) continue;
		const head = Buffer.alloc(OUT_HEADER_BYTES);
		head.writeBigUInt64LE(unique, 8);
		let body: Buffer = Buffer.alloc(0);
		try {
			body = answer(disk, opcode, number(request, 16), request.subarray(IN_HEADER_BYTES, lengthBytes));
		} catch (error) {
			if (!(error instanceof Failed)) console.error(error);
			head.writeInt32LE(-(error instanceof Failed ? error.errno : EIO), 4);
		}
		head.writeUInt32LE(OUT_HEADER_BYTES + body.length, 0);
		try {
			writeSync(fuse, Buffer.concat([head, body]));
		} catch (error) {
			// Whoever asked was killed meanwhile.
			if (Reflect.get(error as Error, "code") !== "ENOENT") throw error;
		}
	}
}

function answer(disk: Disk, opcode: number, node: number, input: Buffer): Buffer {
	switch (opcode) {
		case OP.init: {
			const [readAhead, flags] = [input.readUInt32LE(8), input.readUInt32LE(12)];
			return struct(64, {
				...{ 0: 7, 4: PROTOCOL_MINOR, 8: readAhead, 12: flags & (INIT_BIG_WRITES | INIT_MAX_PAGES) },
				// Two of 16 bits each: max_background and congestion_threshold.
				...{ 16: 64 | (48 << 16), 20: MAX_WRITE_BYTES, 24: 1, 28: MAX_PAGES },
			});
		}
		case OP.lookup: {
			const name = input.subarray(0, input.indexOf(0)).toString();
			const found = { disk: DISK_NODE, control: CONTROL_NODE }[name];
			if (found === undefined) throw new Failed(ENOENT);
			const head = struct(40, { 0: found, 16: VALID_S, 24: VALID_S });
			return Buffer.concat([head, attributes(disk, found)]);
		}
		case OP.getattr:
		case OP.setattr:
			return Buffer.concat([struct(16, { 0: VALID_S }), attributes(disk, node)]);
		case OP.open:
		case OP.opendir:
			return struct(16, { 8: node === CONTROL_NODE ? OPEN_DIRECT_IO : 0 });
		case OP.read: {
			const offset = number(input, 8);
			const lengthBytes = input.readUInt32LE(16);
			if (node === DISK_NODE) return disk.read(offset, lengthBytes);
			return Buffer.from(disk.report).subarray(offset, offset + lengthBytes);
		}
		case OP.write: {
			const data = input.subarray(40, 40 + input.readUInt32LE(16));
			if (node === DISK_NODE) disk.write(number(input, 8), data);
			else command(disk, data.toString().trim());
			return struct(8, { 0: data.length });
		}
		case OP.fsync:
			if (node === DISK_NODE) disk.flush();
			return Buffer.alloc(0);
		case OP.statfs:
			return struct(80, { 40: BLOCK_BYTES, 44: 255, 48: BLOCK_BYTES });
		case OP.readdir:
		case OP.release:
		case OP.releasedir:
		case OP.flush:
		case OP.destroy:
			return Buffer.alloc(0);
		case FALLOCATE:
			// Nothing is ever punched or zeroed but by writing.
			throw new Failed(EOPNOTSUPP);
		default:
			throw new Failed(ENOSYS);
	}
}

function attributes(disk: Disk, node: number): Buffer {
	const sizeBytes = node === DISK_NODE ? disk.sizeBytes : 0;
	const mode = node === ROOT_NODE ? linux.S_IFDIR | 0o700 : linux.S_IFREG | 0o600;
	const out = struct(88, { 0: node, 60: mode, 64: node === ROOT_NODE ? 2 : 1, 80: BLOCK_BYTES });
	out.writeBigUInt64LE(BigInt(sizeBytes), 8);
	out.writeBigUInt64LE(BigInt(Math.ceil(sizeBytes / SECTOR_BYTES)), 16);
	return out;
}

/** Numbers of 32 bits by their offsets, zeros else (a number of 64 bits is little-endian, too). */
function struct(lengthBytes: number, numbers: Readonly<Record<number, number>>): Buffer {
	const out = Buffer.alloc(lengthBytes);
	for (const [offset, value] of Object.entries(numbers)) out.writeUInt32LE(value, Number(offset));
	return out;
}

function command(disk: Disk, text: string): void {
	const [word, seed = "0", loss] = text.split(" ");
	if (word === "on") disk.on();
	else if (word === "cut") {
		const random = randomOf(~Number(seed));
		const chosen = LOSSES.find((name) => name === loss) ?? LOSSES[Math.floor(random() * LOSSES.length)];
		disk.cut(Number(seed), chosen ?? "all");
	} else throw new Failed(EOPNOTSUPP);
}

const [mountPoint = "", durable = "", current = "", flushDelayMs = "0"] = process.argv.slice(2);
const fuse = openSync("/dev/fuse", "r+");
const options = `fd=${fuse},rootmode=40000,user_id=0,group_id=0`;
linux.mount("lamella-volatile", mountPoint, "fuse", linux.MS_NOSUID | linux.MS_NODEV, options);
writeSync(1, "ready\n");
serve(fuse, new Disk(durable, current, Number(flushDelayMs)));
