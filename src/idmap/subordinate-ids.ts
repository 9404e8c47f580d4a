/**
 * Owns the reading of /etc/subuid and /etc/subgid (subuid(5)): which host ids a user may hand to containers.
 */
import { readFileSync } from "node:fs";
import { checkIdMap, type IdMapRange, type IdMaps, invalid } from "./id-maps.ts";

export interface SubordinateRange {
	readonly firstId: number;
	readonly size: number;
}

export interface User {
	readonly name: string;
	/** The files may name a user by number. */
	readonly uid?: number | undefined;
}

/** The user's ranges in the file's order; lines that are not `name:first:count` are left out, as shadow does. */
export function parseSubordinateIds(text: string, user: User): readonly SubordinateRange[] {
	const ranges: SubordinateRange[] = [];
	for (const line of text.split("\n")) {
		const [, owner, first, count] = /^([^:#]+):(\d{1,10}):(\d{1,10})\s*$/.exec(line.trim()) ?? [];
		if (owner !== user.name && (user.uid === undefined || owner !== String(user.uid))) continue;
		if (Number(count) > 0) ranges.push({ firstId: Number(first), size: Number(count) });
	}
	return ranges;
}

/** The ranges one after another from the container's 0 up, as dockerd's userns-remap does. @throws {LamellaError} `EINVALID` */
export function mapFromZero(ranges: readonly SubordinateRange[]): readonly IdMapRange[] {
	let containerId = 0;
	return checkIdMap(
		ranges.map(({ firstId, size }) => {
			const range = { containerId, hostId: firstId, size };
			containerId += size;
			return range;
		}),
	);
}

/**
 * ID maps from a user's subordinate ids.
 * @throws {LamellaError} `EINVALID` where the user has none
 */
export function subordinateIdMaps(
	user: User,
	files: { readonly subuid: string; readonly subgid: string } = {
		subuid: "/etc/subuid",
		subgid: "/etc/subgid",
	},
): IdMaps {
	const read = (file: string): readonly IdMapRange[] => {
		let text = "";
		try {
			text = readFileSync(file, "utf8");
		} catch (cause) {
			// No file is the same as a file without a line for the user.
			if (!(cause instanceof Error && "code" in cause && cause.code === "ENOENT")) throw cause;
		}
		const map = mapFromZero(parseSubordinateIds(text, user));
		if (map.length === 0) {
			throw invalid(
				`${file} gives no ids to the user "${user.name}"; add a line such as "${user.name}:100000:65536"`,
			);
		}
		return map;
	};
	return { uids: read(files.subuid), gids: read(files.subgid) };
}
