/**
 * Owns the reading of an image's first blocks: the superblock and the table of devices, which a mount has to know, as
 * the kernel does not check that it was given the right ones.
 */
import { Buffer } from "node:buffer";
import { LamellaError } from "../errors/index.ts";
import {
	BLOCK_BYTES,
	DEVICE_SLOT,
	DEVICE_TABLE_OFFSET,
	FEATURE_INCOMPAT_DEVICE_TABLE,
	SUPERBLOCK,
} from "./format.ts";
import { superblockChecksum } from "./seal.ts";
import type { ImageDevice } from "./write-image.ts";

export interface ImageHead {
	readonly rootNid: number;
	readonly inodes: number;
	readonly epochSeconds: number;
	readonly epochNanoseconds: number;
	/** Of the image itself. */
	readonly blocks: number;
	readonly xattrBlock: number;
	readonly devices: readonly MappedDevice[];
}

export interface MappedDevice extends ImageDevice {
	/** Where it begins in the one space of blocks. */
	readonly firstBlock: number;
	readonly blocks: number;
}

export function corrupt(what: string): LamellaError {
	return new LamellaError("ECORRUPT", `an EROFS image is damaged: ${what}`);
}

/** How many bytes of an image `readDevices` needs. */
export function imageHeadBytes(deviceCount: number): number {
	return Math.max(
		SUPERBLOCK.offset + SUPERBLOCK.checkedBytes,
		DEVICE_TABLE_OFFSET + deviceCount * DEVICE_SLOT.bytes,
	);
}

/**
 * The devices in the order in which a mount has to give them; sizes are in whole blocks of 512 bytes. `head` is the image's
 * beginning, `imageHeadBytes` long or longer, and `imageSizeBytes` what the image has in all. Takes some microseconds.
 * @throws {LamellaError} `ECORRUPT` where it is no image, the superblock does not have its checksum, or the image was cut
 */
export function readDevices(head: Uint8Array, imageSizeBytes: number): readonly ImageDevice[] {
	const { blocks, devices } = readHead(head);
	refuseOtherSize(imageSizeBytes, blocks);
	return devices.map(({ tag, sizeBytes }) => ({ tag, sizeBytes }));
}

/** @throws {LamellaError} `ECORRUPT` where an image does not have the blocks that its superblock states */
export function refuseOtherSize(imageSizeBytes: number, blocks: number): void {
	if (imageSizeBytes === blocks * BLOCK_BYTES) return;
	throw corrupt(`it has ${imageSizeBytes} bytes, but states ${blocks * BLOCK_BYTES}`);
}

/** @throws {LamellaError} `ECORRUPT` */
export function readHead(image: Uint8Array): ImageHead {
	if (image.length < imageHeadBytes(0)) throw corrupt("it ends within the superblock");
	const view = new DataView(image.buffer, image.byteOffset, image.length);
	const u16 = (at: number): number => view.getUint16(SUPERBLOCK.offset + at, true);
	const u32 = (at: number): number => view.getUint32(SUPERBLOCK.offset + at, true);
	if (u32(SUPERBLOCK.magicAt) !== SUPERBLOCK.magic) throw corrupt("it does not begin as one");
	if (u32(SUPERBLOCK.checksumAt) !== superblockChecksum(image))
		throw corrupt("the superblock's checksum is wrong");
	const count = u16(SUPERBLOCK.extraDevicesAt);
	const isOwn =
		view.getUint8(SUPERBLOCK.offset + SUPERBLOCK.blockBitsAt) === Math.log2(BLOCK_BYTES) &&
		u32(SUPERBLOCK.featureIncompatAt) === (count > 0 ? FEATURE_INCOMPAT_DEVICE_TABLE : 0) &&
		u16(SUPERBLOCK.deviceSlotAt) === (count > 0 ? DEVICE_TABLE_OFFSET / DEVICE_SLOT.bytes : 0) &&
		u32(SUPERBLOCK.metaBlockAt) === 0;
	if (!isOwn) throw corrupt("it has features that Lamella does not write");
	const blocks = u32(SUPERBLOCK.blocksAt);
	return {
		rootNid: u16(SUPERBLOCK.rootNidAt),
		inodes: readInteger(view, SUPERBLOCK.offset + SUPERBLOCK.inodesAt),
		epochSeconds: readInteger(view, SUPERBLOCK.offset + SUPERBLOCK.epochAt),
		epochNanoseconds: u32(SUPERBLOCK.epochNanosecondsAt),
		blocks,
		xattrBlock: u32(SUPERBLOCK.xattrBlockAt),
		devices: readTable(image, count, blocks),
	};
}

/** Devices lie one after the other behind the image, so a table in which they do not is damaged. */
function readTable(image: Uint8Array, count: number, imageBlocks: number): MappedDevice[] {
	if (image.length < imageHeadBytes(count)) throw corrupt(`it ends within the table of its ${count} devices`);
	const bytes = Buffer.from(image.buffer, image.byteOffset, image.length);
	const devices: MappedDevice[] = [];
	let firstBlock = imageBlocks;
	for (let n = 0; n < count; n++) {
		const at = DEVICE_TABLE_OFFSET + n * DEVICE_SLOT.bytes;
		const tag = bytes.toString("latin1", at, at + DEVICE_SLOT.tagBytes).replace(/\0+$/, "");
		const blocks = bytes.readUInt32LE(at + DEVICE_SLOT.blocksAt);
		if (bytes.readUInt32LE(at + DEVICE_SLOT.mappedBlockAt) !== firstBlock) {
			throw corrupt(`device ${n + 1} does not begin where the one before it ends`);
		}
		if (!/^[!-~]+$/.test(tag)) throw corrupt(`device ${n + 1} has no proper tag`);
		devices.push({ tag, sizeBytes: blocks * BLOCK_BYTES, firstBlock, blocks });
		firstBlock += blocks;
	}
	return devices;
}

/** 64 bits, two's complement. @throws {LamellaError} `ECORRUPT` where a number cannot hold it */
export function readInteger(view: DataView, at: number): number {
	const value = view.getInt32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
	if (!Number.isSafeInteger(value)) throw corrupt(`a number at offset ${at} goes over 53 bits`);
	return value;
}
