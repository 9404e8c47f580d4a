/**
 * `<root>/store.json`: says that a directory is a store of ours, and of which format. Nothing is ever made or deleted in
 * a directory that has other things in it and no marker.
 */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { LamellaError } from "../../errors/index.ts";
import { FORMAT } from "../database/schema.ts";
import { errnoOf } from "../failure.ts";

export const MARKER = "store.json";
/** What a new filesystem has in it, and what an opener leaves that dies before the marker is written. */
const HARMLESS: ReadonlySet<string> = new Set(["lost+found", "lock", `${MARKER}.next`]);

/**
 * Whether `root` is a store; false where there is nothing yet.
 * @throws {LamellaError} `ECONFIG` where it is something else, or a store of another format
 */
export function isStore(root: string): boolean {
	let text: string;
	try {
		text = readFileSync(path.join(root, MARKER), "utf8");
	} catch (error) {
		if (errnoOf(error) !== "ENOENT") throw error;
		refuseOthers(root);
		return false;
	}
	const format = formatOf(text);
	if (format === FORMAT) return true;
	throw new LamellaError(
		"ECONFIG",
		format === undefined
			? `${path.join(root, MARKER)} is not a store's marker; choose another state root, or write {"lamella":${FORMAT}} into it if this is your store`
			: `${root} is a store of format ${format}, and this version reads format ${FORMAT}; use the version that made it, or another state root`,
		{ path: root },
	);
}

function formatOf(text: string): unknown {
	try {
		const format: unknown = Reflect.get(JSON.parse(text) as object, "lamella");
		return format;
	} catch {
		return undefined;
	}
}

function refuseOthers(root: string): void {
	let names: readonly string[];
	try {
		names = readdirSync(root);
	} catch (error) {
		if (errnoOf(error) === "ENOENT") return;
		throw error;
	}
	const other = names.find((name) => !HARMLESS.has(name));
	if (other === undefined) return;
	const isOld = names.includes("metadata") && names.includes("layers") && names.includes("staging");
	throw new LamellaError(
		"ECONFIG",
		isOld
			? `${root} is a store of an older format, which this version does not read; choose another state root and import the images again`
			: `${root} is not a store: it has "${other}" in it and no ${MARKER}; choose an empty directory as state root`,
		{ path: root },
	);
}
