/** What the fields of a request and its trailers have to look like (RFC 9113, sections 8.2 and 8.3). */
import type { HeaderField } from "./hpack.ts";

/** All but CONNECT, which no one is asked here. */
const REQUIRED = [":method", ":scheme", ":path"] as const;
const PSEUDO_FIELDS: ReadonlySet<string> = new Set([...REQUIRED, ":authority"]);
/** HTTP/1 has these for a connection. */
const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
	"connection",
	"keep-alive",
	"proxy-connection",
	"transfer-encoding",
	"upgrade",
]);
/** Controls, blanks, capitals, colons, and what is not ASCII. */
const NOT_IN_A_NAME = /[^!-9;-@[-~]/;
const NOT_IN_A_VALUE = /[\0\r\n]/;

/** A request's fields, of several of a name the last; undefined where the request is malformed. */
export function requestOf(list: readonly HeaderField[]): ReadonlyMap<string, string> | undefined {
	const fields = new Map<string, string>();
	let pseudoFields = 0;
	for (const field of list) {
		const [name, value] = field;
		if (name.startsWith(":")) {
			// They come first, each once.
			if (fields.size > pseudoFields || fields.has(name) || !PSEUDO_FIELDS.has(name)) return undefined;
			if (NOT_IN_A_VALUE.test(value)) return undefined;
			pseudoFields += 1;
		} else if (!isWellFormed(field)) return undefined;
		fields.set(name, value);
	}
	return REQUIRED.every((name) => fields.has(name)) && fields.get(":path") !== "" ? fields : undefined;
}

/** Whether these can end a request. */
export function areTrailers(list: readonly HeaderField[]): boolean {
	return list.every(isWellFormed);
}

function isWellFormed([name, value]: HeaderField): boolean {
	return (
		name !== "" &&
		!NOT_IN_A_NAME.test(name) &&
		!NOT_IN_A_VALUE.test(value) &&
		!CONNECTION_FIELDS.has(name) &&
		(name !== "te" || value === "trailers")
	);
}
