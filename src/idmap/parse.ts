/**
 * Owns the shapes in which clients send ID maps: moby's JSON (`{container_id, host_id, size}`) and containerd's
 * snapshot labels (`containerd.io/snapshot/uidmapping: "0:100000:65536"`).
 */
import { checkIdMap, type IdMapRange, invalid } from "./id-maps.ts";

/** A list of ranges as moby's `idtools.IDMap` is sent; null and undefined are an empty one. @throws {LamellaError} `EINVALID` */
export function parseMobyIdMap(value: unknown): readonly IdMapRange[] {
	if (value === null || value === undefined) return [];
	if (!Array.isArray(value)) throw invalid("an ID map must be a list of {container_id, host_id, size}");
	return checkIdMap(
		value.map((item: unknown) => {
			if (typeof item !== "object" || item === null) {
				throw invalid("an ID map range must be an object {container_id, host_id, size}");
			}
			const fields = item as Readonly<Record<string, unknown>>;
			const field = (name: string): number => {
				const number = fields[name];
				if (typeof number !== "number") throw invalid(`an ID map range needs a number as ${name}`);
				return number;
			};
			return { containerId: field("container_id"), hostId: field("host_id"), size: field("size") };
		}),
	);
}

/** `container:host:size`, several with commas between; "" is an empty map. @throws {LamellaError} `EINVALID` */
export function parseIdMapLabel(text: string): readonly IdMapRange[] {
	if (text === "") return [];
	return checkIdMap(
		text.split(",").map((part) => {
			const [, containerId, hostId, size] = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(part) ?? [];
			if (size === undefined) {
				throw invalid(`"${text}" is not an ID map; write container:host:size, such as 0:100000:65536`);
			}
			return { containerId: Number(containerId), hostId: Number(hostId), size: Number(size) };
		}),
	);
}
