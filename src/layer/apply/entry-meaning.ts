/**
 * What an entry of a layer tar is about, whatever form the layer is kept in: a path of its own, the root, a whiteout,
 * an opaque mark, or AUFS's bookkeeping.
 */
import { LamellaError } from "../../errors/index.ts";
import type { TarEntry } from "../../tar/index.ts";
import { readWhiteoutWord } from "../overlay/whiteout.ts";
import { cleanEntryPath } from "./entry-path.ts";

/** `directory` is a cleaned path, empty for the root; like `name` it is latin1 text. */
export type EntryMeaning =
	| { readonly is: "root" }
	| { readonly is: "member"; readonly directory: string; readonly name: string }
	/** `name` is what it hides. */
	| { readonly is: "whiteout"; readonly directory: string; readonly name: string }
	| { readonly is: "opaque"; readonly directory: string }
	/** AUFS's own, which every engine leaves out. */
	| { readonly is: "aufs" };

const ROOT: EntryMeaning = { is: "root" };
const AUFS: EntryMeaning = { is: "aufs" };

/**
 * `where` gives the entry's path for people.
 * @throws {LamellaError} `EUNSAFE` for a path that leads out of the layer, for one below a whiteout's name and for a root
 * that is not a directory; `ETAR` for one that is too long
 */
export function entryMeaning(entry: TarEntry, where: () => string): EntryMeaning {
	const path = cleanEntryPath(entry.path);
	if (path === "") {
		if (entry.type === "directory") return ROOT;
		throw new LamellaError("EUNSAFE", "the layer's entry for its root is not a directory", {
			path: "/",
		});
	}
	const slash = path.lastIndexOf("/");
	const name = path.slice(slash + 1);
	const directory = slash === -1 ? "" : path.slice(0, slash);
	if (!path.includes(".wh.")) return { is: "member", directory, name };
	for (const parent of directory.split("/")) {
		const word = readWhiteoutWord(parent, where);
		// With AUFS's directories goes all that is in them.
		if (word?.kind === "ignored") return AUFS;
		if (word !== undefined) {
			throw new LamellaError(
				"EUNSAFE",
				`"${where()}" lies below a name that begins with ".wh.", which stands for a deletion in a layer`,
				{ path: where() },
			);
		}
	}
	const word = readWhiteoutWord(name, where);
	switch (word?.kind) {
		case undefined:
			return { is: "member", directory, name };
		case "ignored":
			return AUFS;
		case "opaque":
			return { is: "opaque", directory };
		case "whiteout":
			return { is: "whiteout", directory, name: word.hidden };
	}
}

/** @throws {LamellaError} `EUNSAFE` for a character device 0:0 */
export function refuseWhiteoutDevice(entry: TarEntry, where: () => string): void {
	const { type, deviceMajor, deviceMinor } = entry;
	if (type !== "character" || deviceMajor !== 0 || deviceMinor !== 0) return;
	throw new LamellaError(
		"EUNSAFE",
		`"${where()}" is a character device 0:0, which overlayfs takes for a deletion; a layer writes deletions as names that begin with ".wh."`,
		{ path: where() },
	);
}
