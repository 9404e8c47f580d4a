/**
 * What an image's device table says of each file that it stands on, in the 64 bytes that a device's name has: whose it is, and
 * what tells that it is still the file that was indexed.
 *
 *     <24 hex digits of the diffID>.<mtime in ns>.<size>          layer.tar, numbers in hex
 *     <24 hex digits of the diffID>.<mtime in ns>.<size>.data     layer.data
 */
import type { DiffId } from "../digest/digest.ts";

export interface DeviceIdentity {
	/** Of layer.data, in place of layer.tar. */
	readonly isData: boolean;
	/** No two layers' tars have one in common. */
	readonly mtimeNs: bigint;
	readonly sizeBytes: number;
}

const DIGITS = 24;
const TAG = /^[0-9a-f]{24}\.([0-9a-f]{1,16})\.([0-9a-f]{1,13})(\.data)?$/;

export function deviceTag(diffId: DiffId, { isData, mtimeNs, sizeBytes }: DeviceIdentity): string {
	const digits = diffId.slice("sha256:".length).slice(0, DIGITS);
	return `${digits}.${mtimeNs.toString(16)}.${sizeBytes.toString(16)}${isData ? ".data" : ""}`;
}

/** Undefined where the tag is none of ours. */
export function readDeviceTag(tag: string): DeviceIdentity | undefined {
	const [found, mtime, size, data] = TAG.exec(tag) ?? [];
	if (found === undefined) return undefined;
	return {
		isData: data !== undefined,
		mtimeNs: BigInt(`0x${mtime}`),
		sizeBytes: Number.parseInt(size ?? "", 16),
	};
}
