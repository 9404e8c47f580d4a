/** Owns the shape in which containerd's snapshot labels have ID maps (`containerd.io/snapshot/uidmapping: "0:100000:65536"`). */
import { checkIdMap, type IdMapRange, invalid } from "./id-maps.ts";

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
