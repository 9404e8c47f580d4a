/** What may be a layer's id: an opaque text that never becomes a path. */
import { LamellaError } from "../errors/index.ts";
import type { LayerId } from "./contract.ts";

/** Bytes of UTF-8: what containerd's own database takes as a key. */
const LAYER_ID_MAX_BYTES = 32 * 1024;

/**
 * Checks an id from outside. It may hold what containerd's keys may: slashes, spaces, tabs, newlines
 * (`default/12/extract-1 x`); escape one before it is printed. Refused are the empty id, `.` and `..`, NUL, lone surrogates,
 * and more than 32 KiB.
 * @throws {LamellaError} `EINVALID`
 */
export function parseLayerId(text: string): LayerId {
	const problem = layerIdProblem(text);
	if (problem !== undefined) throw new LamellaError("EINVALID", `a layer id ${problem}`, { layer: text });
	return text as LayerId;
}

function layerIdProblem(text: string): string | undefined {
	if (typeof text !== "string" || text === "") return "cannot be empty";
	if (text === "." || text === "..") return `cannot be "${text}"`;
	if (text.includes("\0")) return "cannot hold a NUL";
	if (/\p{Surrogate}/u.test(text)) return "has to be well-formed Unicode";
	if (Buffer.byteLength(text) > LAYER_ID_MAX_BYTES) {
		return `cannot be longer than ${LAYER_ID_MAX_BYTES} bytes`;
	}
	return undefined;
}
