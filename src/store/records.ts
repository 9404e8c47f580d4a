/** Names of the records that rooms above keep in the store. */
import { LamellaError } from "../errors/index.ts";

const NAMESPACE = /^[a-z][a-z-]{0,62}$/;
const KEY_MAX_BYTES = 1024;

/**
 * Key in the table `records`. An empty `key` gives the namespace's prefix.
 * @throws {LamellaError} `EINVALID`
 */
export function recordPath(namespace: string, key: string): string {
	if (!NAMESPACE.test(namespace)) {
		throw new LamellaError(
			"EINVALID",
			`"${namespace}" cannot be a namespace: lower-case letters and "-" only`,
		);
	}
	if (key.includes("\0") || Buffer.byteLength(key) > KEY_MAX_BYTES) {
		throw new LamellaError("EINVALID", `a record's key is at most ${KEY_MAX_BYTES} bytes, without NUL`);
	}
	return `${namespace}/${key}`;
}

/** Takes `recordPath` apart. */
export function splitRecordPath(path: string): { namespace: string; key: string } {
	const slash = path.indexOf("/");
	return { namespace: path.slice(0, slash), key: path.slice(slash + 1) };
}
