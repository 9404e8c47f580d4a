/** What may be a layer's id: an opaque text that never becomes a path. */
import { LamellaError } from "../errors/index.ts";
import type { LayerId } from "./contract.ts";

/** Bytes of UTF-8. Below what the metadata store takes as a key; containerd's longest keys are far shorter. */
const LAYER_ID_MAX_BYTES = 1024;

/**
 * Checks an id from outside. Slashes and spaces are allowed (containerd's keys have them: `default/12/extract-1 x`);
 * refused are the empty id, `.` and `..`, control characters, lone surrogates, and more than 1024 bytes.
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
	// Control characters would garble tables and logs, and a NUL would end the name early in a system call.
	// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
	if (/[\u0000-\u001f\u007f]/.test(text)) return "cannot hold control characters";
	if (/\p{Surrogate}/u.test(text)) return "has to be well-formed Unicode";
	if (Buffer.byteLength(text) > LAYER_ID_MAX_BYTES) {
		return `cannot be longer than ${LAYER_ID_MAX_BYTES} bytes`;
	}
	return undefined;
}
