/**
 * What the plugin remembers between its own starts, since dockerd sends Init only when dockerd starts:
 * `<state dir>/docker.json`, `{version, home, options, uidMaps, gidMaps}`, mode 0600, replaced whole.
 */
import { readFileSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import path from "node:path";
import * as v from "valibot";
import { LamellaError } from "../../errors/index.ts";
import type { IdMapRange } from "../../idmap/index.ts";
import * as linux from "../../linux/index.ts";

/** The arguments of the last Init. */
export interface InitState {
	readonly home: string;
	readonly options: readonly string[];
	readonly uidMaps: readonly IdMapRange[];
	readonly gidMaps: readonly IdMapRange[];
}

const FILE = "docker.json";

/** @throws {LamellaError} `ECORRUPT` where the file is not what this program wrote */
export function loadState(directory: string): InitState | undefined {
	const file = path.join(directory, FILE);
	let text: string;
	try {
		text = readFileSync(file, "utf8");
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
		throw error;
	}
	try {
		const id = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffff_ffff));
		const maps = v.array(v.object({ containerId: id, hostId: id, size: id }));
		const schema = v.object({
			version: v.literal(1),
			home: v.string(),
			options: v.array(v.string()),
			uidMaps: maps,
			gidMaps: maps,
		});
		const { home, options, uidMaps, gidMaps } = v.parse(schema, JSON.parse(text));
		return { home, options, uidMaps, gidMaps };
	} catch (error) {
		throw new LamellaError("ECORRUPT", `${file} cannot be read; remove it and restart dockerd`, {
			path: file,
			cause: error,
		});
	}
}

/** Durable when it returns. */
export async function saveState(directory: string, state: InitState): Promise<void> {
	linux.makeDirectory(directory, 0o710);
	const file = path.join(directory, FILE);
	const aside = `${file}.new`;
	await using handle = await open(aside, "w", 0o600);
	await handle.writeFile(`${JSON.stringify({ version: 1, ...state }, undefined, "\t")}\n`);
	await handle.sync();
	await rename(aside, file);
	await using parent = await open(directory, "r");
	await parent.sync();
}
