/** ID maps between a container's and the host's numbers, as in user_namespaces(7). */
import { LamellaError } from "../errors/index.ts";

export interface IdMapRange {
	readonly containerId: number;
	readonly hostId: number;
	readonly size: number;
}

export interface IdMaps {
	readonly uids: readonly IdMapRange[];
	readonly gids: readonly IdMapRange[];
}

/** No id: what chown(2) takes for "leave it", so it can never be mapped. */
const NO_ID = 0xffff_ffff;
/** The kernel takes so many lines in a uid_map (user_namespaces(7)). */
const RANGES_MAX = 340;

function translate(
	id: number,
	ranges: readonly IdMapRange[],
	from: "containerId" | "hostId",
	to: "containerId" | "hostId",
): number | undefined {
	// As in moby: without a map, every number is itself.
	if (ranges.length === 0) return id;
	for (const range of ranges) {
		const distance = id - range[from];
		if (distance >= 0 && distance < range.size) return range[to] + distance;
	}
	return undefined;
}

/**
 * The host's number for a container's. Without ranges it is the same.
 * @throws {LamellaError} `EINVALID` where no range covers it
 */
export function toHost(containerId: number, ranges: readonly IdMapRange[]): number {
	const id = translate(containerId, ranges, "containerId", "hostId");
	if (id !== undefined) return id;
	throw new LamellaError(
		"EINVALID",
		`the container's id ${containerId} has no id on the host; widen the ID map (it covers ${formatIdMap(ranges)})`,
	);
}

/**
 * The container's number for a host's. Without ranges it is the same.
 * @throws {LamellaError} `EINVALID` where no range covers it
 */
export function toContainer(hostId: number, ranges: readonly IdMapRange[]): number {
	const id = translate(hostId, ranges, "hostId", "containerId");
	if (id !== undefined) return id;
	throw new LamellaError(
		"EINVALID",
		`the host's id ${hostId} has no id in the container; widen the ID map (it covers ${formatIdMap(ranges)})`,
	);
}

/** Who owns a container's root directory: the host's numbers for 0 and 0. @throws {LamellaError} `EINVALID` */
export function hostRoot(maps: IdMaps | undefined): { readonly uid: number; readonly gid: number } {
	return { uid: toHost(0, maps?.uids ?? []), gid: toHost(0, maps?.gids ?? []) };
}

/** `containerId:hostId:size`, comma-separated, as containerd's labels have it. */
export function formatIdMap(ranges: readonly IdMapRange[]): string {
	return ranges.map((range) => `${range.containerId}:${range.hostId}:${range.size}`).join(",");
}

/**
 * Checks what the kernel would: whole numbers, no overflow past 2^32 - 2, no overlap on either side, at most 340
 * ranges. Returns the same ranges.
 * @throws {LamellaError} `EINVALID`
 */
export function checkIdMap(ranges: readonly IdMapRange[]): readonly IdMapRange[] {
	if (ranges.length > RANGES_MAX) {
		throw invalid(`an ID map has at most ${RANGES_MAX} ranges, this one ${ranges.length}`);
	}
	for (const range of ranges) {
		const text = formatIdMap([range]);
		for (const number of [range.containerId, range.hostId, range.size]) {
			if (!Number.isSafeInteger(number) || number < 0) {
				throw invalid(`the ID map range ${text} must have whole numbers from 0 on`);
			}
		}
		if (range.size === 0) throw invalid(`the ID map range ${text} is empty`);
		if (range.containerId + range.size > NO_ID || range.hostId + range.size > NO_ID) {
			throw invalid(`the ID map range ${text} goes past the largest id, ${NO_ID - 1}`);
		}
	}
	for (const side of ["containerId", "hostId"] as const) {
		const sorted = [...ranges].sort((a, b) => a[side] - b[side]);
		for (const [i, range] of sorted.entries()) {
			const before = sorted[i - 1];
			if (before !== undefined && before[side] + before.size > range[side]) {
				throw invalid(`the ID map ranges ${formatIdMap([before, range])} overlap`);
			}
		}
	}
	return ranges;
}

export function invalid(message: string): LamellaError {
	return new LamellaError("EINVALID", message);
}
