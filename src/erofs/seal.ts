/**
 * Owns how an image vouches for itself: a uuid made of all its content, and the superblock's checksum, which covers
 * what a mount reads first.
 */
import type { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { SUPERBLOCK } from "./format.ts";

/** Writes both. */
export function seal(image: Buffer): void {
	const start = SUPERBLOCK.offset;
	contentUuid(image).copy(image, start + SUPERBLOCK.uuidAt);
	image.writeUInt32LE(superblockChecksum(image), start + SUPERBLOCK.checksumAt);
}

/**
 * A uuid (version 8) of the SHA-256 of all of the image but uuid and checksum: images of one uuid are equal, and one
 * that was altered does not fit its uuid.
 */
export function contentUuid(image: Uint8Array): Buffer {
	const start = SUPERBLOCK.offset;
	const uuid = createHash("sha256")
		.update(image.subarray(0, start + SUPERBLOCK.checksumAt))
		.update(image.subarray(start + SUPERBLOCK.checksumAt + 4, start + SUPERBLOCK.uuidAt))
		.update(image.subarray(start + SUPERBLOCK.uuidAt + SUPERBLOCK.uuidBytes))
		.digest()
		.subarray(0, SUPERBLOCK.uuidBytes);
	uuid.writeUInt8(((uuid[6] ?? 0) & 0x0f) | 0x80, 6);
	uuid.writeUInt8(((uuid[8] ?? 0) & 0x3f) | 0x80, 8);
	return uuid;
}

const CRC32C_POLYNOMIAL = 0x82f63b78;

/** CRC-32C of the block with the superblock, its own field taken as 0, in the kernel's way: not inverted at the end. */
export function superblockChecksum(image: Uint8Array): number {
	const { offset, checksumAt, checkedBytes } = SUPERBLOCK;
	let crc = 0xffffffff;
	for (let at = 0; at < checkedBytes; at++) {
		const isOwn = at >= checksumAt && at < checksumAt + 4;
		crc ^= isOwn ? 0 : (image[offset + at] ?? 0);
		for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? CRC32C_POLYNOMIAL : 0);
	}
	return crc >>> 0;
}
