/** containerd's rules for a snapshot's labels. */
import { LamellaError } from "../../../errors/index.ts";
import type { Labels } from "../../../store/index.ts";

/** Bytes of a label's key and value together (containerd's labels.Validate). */
const LABEL_BYTES_MAX = 4096;

/**
 * Labels as they are kept: containerd takes an empty value for "no such label".
 * @throws {LamellaError} `EINVALID` where a label is too long, or has a value and no key
 */
export function keptLabels(labels: Readonly<Record<string, string>>): Labels {
	for (const [key, value] of Object.entries(labels)) {
		if (key === "" && value !== "") throw new LamellaError("EINVALID", "a label's key cannot be empty");
		const bytes = Buffer.byteLength(key) + Buffer.byteLength(value);
		if (bytes > LABEL_BYTES_MAX) {
			const shown = key.length > 64 ? `${key.slice(0, 64)}…` : key;
			throw new LamellaError(
				"EINVALID",
				`label "${shown}" has ${bytes} bytes of key and value; ${LABEL_BYTES_MAX} are allowed`,
			);
		}
	}
	return Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== ""));
}

/**
 * Labels after an Update: each path of the mask is `labels` (all are replaced) or `labels.<key>` (that one is set,
 * or removed where it is not sent). Without a mask all that can change is replaced, which is the labels.
 * @throws {LamellaError} `EINVALID` for any other path
 */
export function updatedLabels(
	before: Labels,
	sent: Readonly<Record<string, string>>,
	paths: readonly string[],
): Labels {
	if (paths.length === 0) return keptLabels(sent);
	let labels: Record<string, string> = { ...before };
	for (const path of paths) {
		if (path === "labels") {
			labels = { ...sent };
		} else if (path.startsWith("labels.")) {
			const key = path.slice("labels.".length);
			labels[key] = Object.hasOwn(sent, key) ? (sent[key] ?? "") : "";
		} else {
			throw new LamellaError("EINVALID", `a snapshot's "${path}" cannot be updated, only its labels`);
		}
	}
	return keptLabels(labels);
}
