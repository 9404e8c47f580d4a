/**
 * What an image's device table says of each file that it stands on, in the 64 bytes that a device's name has: whose it is, and
 * what tells that it is still the file that was indexed.
 *
 *     <24 hex digits of the diffID>.<mtime in ns>.<size>          layer.tar, numbers in hex
 *     <24 hex digits of the diffID>.<mtime in ns>.<size>.data     layer.data
 */
import type { DiffId } from "../digest/digest.ts";

/** What a tag says of a file, and the digits of whose it is. */
export interface TaggedDevice extends DeviceIdentity {
	readonly diffIdDigits: string;
}

export interface DeviceIdentity {
	/** Of layer.data, in place of layer.tar. */
	readonly isData: boolean;
	/** No two layers' tars have one in common. */
	readonly mtimeNs: bigint;
	readonly sizeBytes: number;
}

const DIGITS = 24;
const TAG = /^([0-9a-f]{24})\.([0-9a-f]{1,16})\.([0-9a-f]{1,13})(\.data)?$/;

export function deviceTag(diffId: DiffId, { isData, mtimeNs, sizeBytes }: DeviceIdentity): string {
	return `${diffIdDigits(diffId)}.${mtimeNs.toString(16)}.${sizeBytes.toString(16)}${isData ? ".data" : ""}`;
}

/** The beginning of a diffID that a tag has. */
export function diffIdDigits(diffId: DiffId): string {
	return diffId.slice("sha256:".length).slice(0, DIGITS);
}

/** Undefined where the tag is not one that Lamella wrote. */
export function readDeviceTag(tag: string): TaggedDevice | undefined {
	const [, digits, mtime, size, data] = TAG.exec(tag) ?? [];
	if (digits === undefined) return undefined;
	return {
		diffIdDigits: digits,
		isData: data !== undefined,
		mtimeNs: BigInt(`0x${mtime}`),
		sizeBytes: Number.parseInt(size ?? "", 16),
	};
}
