/**
 * What a layer was to have and does not: found while it is applied or written, told once a kind with how often and
 * where first. The list stays short however large the layer is.
 */
import type { Warning, WarningKind } from "./contract.ts";

/** Of one kind; what goes beyond is counted under `OTHERS`. */
const XATTRS_MAX = 50;
const OTHERS = "(others)";

const WORDS: Readonly<Record<WarningKind, (xattr: string) => string>> = {
	socket: () => "sockets are left out, because a layer cannot hold them",
	"whiteout-device": () => "character devices 0:0 are left out, because overlayfs takes them for deletions",
	"whiteout-name": () => 'names that begin with ".wh." are left out, because in a layer they mean deletions',
	"aufs-name": () => 'AUFS\'s own files (".wh..wh.…") are left out',
	"overlay-xattr": (xattr) => `the xattr ${xattr} is left out, because overlayfs would take it for its own`,
	xattr: (xattr) => `the xattr ${xattr} is left out, because the filesystem does not take it there`,
	acl: (xattr) => `${xattr} is left out where it names users or groups without their numbers`,
	time: () => "times that the filesystem cannot hold are changed to the nearest that it can",
	shrunk: () => "files became shorter while they were read, and end in zeros",
};

/** Counts warnings of one job, or of several together. */
export class WarningList {
	readonly #found = new Map<string, { kind: WarningKind; xattr: string; count: number; path: string }>();

	/** `path` (escaped for people) is asked for only where it is the first of its kind. */
	add(kind: WarningKind, path: () => string, xattr = "", count = 1): void {
		const about = this.#found.size < XATTRS_MAX || xattr === "" ? xattr : OTHERS;
		const known = this.#found.get(`${kind} ${xattr}`) ?? this.#found.get(`${kind} ${about}`);
		if (known !== undefined) known.count += count;
		else this.#found.set(`${kind} ${about}`, { kind, xattr: about, count, path: path() });
	}

	/** In the order in which the first of each kind was met. */
	list(): readonly Warning[] {
		return [...this.#found.values()].map(({ kind, xattr, count, path }) => {
			const more = count === 1 ? "" : ` and ${count - 1} more`;
			const text = `${WORDS[kind](xattr)}: "${path}"${more}`;
			return { kind, count, path, text, ...(xattr === "" ? {} : { xattr }) };
		});
	}
}

/** The warnings of several layers as one list. */
export function joinWarnings(lists: Iterable<readonly Warning[]>): readonly Warning[] {
	const joined = new WarningList();
	for (const list of lists) {
		for (const { kind, path, xattr, count } of list) joined.add(kind, () => path, xattr, count);
	}
	return joined.list();
}
