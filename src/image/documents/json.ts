/**
 * The one reader of documents' JSON, at import and ever after: what it took once it takes again. UTF-8 without a byte
 * order mark (RFC 8259, 8.1), as Go's encoding/json wants it, which all other engines read with.
 */
import { LamellaError } from "../../errors/index.ts";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** `from` names the document in errors. @throws {LamellaError} `EARCHIVE` */
export function parseJson(bytes: Uint8Array, from: string): unknown {
	try {
		const text = decoder.decode(bytes);
		if (text.startsWith("\ufeff")) {
			throw new SyntaxError("it begins with a byte order mark; whatever made the image must leave that out");
		}
		return JSON.parse(text);
	} catch (cause) {
		throw new LamellaError("EARCHIVE", `${from} is not JSON: ${(cause as Error).message}`, { cause });
	}
}

export function jsonBytes(value: unknown): Buffer {
	return Buffer.from(JSON.stringify(value));
}
