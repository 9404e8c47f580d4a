/**
 * `mounts/<name>.json`: how many holders the mount at `mounts/<name>/` has, in each mount namespace since this boot. The name
 * is that of the layer's first directory in layers/.
 *
 * A mount is a thing of the running kernel, so the count is not in the database: it is read and written under
 * the layer's lock together with mount(2), has to outlive a killed process but not a power cut, and needs no flush.
 * In a copy of the store nothing is held: the file names the directory that it was made in.
 */
import {
	existsSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmdirSync,
	rmSync,
	statSync,
	unlinkSync,
	writeFileSync,
} from "node:fs";
import path from "node:path";
import * as linux from "../../linux/index.ts";
import { type LayerRecord, mountNameOf } from "../database/layer-record.ts";
import type { Layout } from "../disk/layout.ts";
import { errnoOf } from "../failure.ts";

export interface Hold {
	readonly count: number;
	/** There is a mount in mountinfo (vfs may hand out a directory). */
	readonly mounted: boolean;
	/** What it was mounted with. */
	readonly mountLabel?: string | undefined;
}

interface HoldsFile {
	readonly bootId: string;
	/** Device and inode of mounts/: they stay when the store is moved, and a copy has others. */
	readonly directory: string;
	/** Mount namespace's inode number → its holds. */
	readonly namespaces: Readonly<Record<string, Hold>>;
	/** The mount namespace in which the mount is being sealed, or was when a process was killed. */
	readonly sealing?: string | undefined;
}

const NONE = { namespaces: {} };

let bootIdOnce: string | undefined;

/** The kernel's id of this boot. */
export function bootId(): string {
	bootIdOnce ??= readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
	return bootIdOnce;
}

/** Where the holds of a layer are kept. */
export function holdsFile({ mounts }: Layout, record: Pick<LayerRecord, "n" | "mountName">): string {
	return path.join(mounts, `${mountNameOf(record)}.json`);
}

/** The mount names of layers that may have holders. */
export function heldLayers({ mounts }: Layout): readonly string[] {
	const files = existsSync(mounts) ? readdirSync(mounts).filter((name) => name.endsWith(".json")) : [];
	return files.map((name) => path.basename(name, ".json"));
}

/** The names in mounts/ whose files say that a process was killed: all that is there of one mount may need to be settled. */
export function leftMounts({ mounts }: Layout, namespace: string): readonly string[] {
	const left = new Set<string>();
	for (const entry of existsSync(mounts) ? readdirSync(mounts, { withFileTypes: true }) : []) {
		const [name = "", ...suffix] = entry.name.split(".");
		const file = path.join(mounts, entry.name);
		const isLeft = entry.isDirectory() ? !linux.isMountRoot(linux.AT_FDCWD, file) : suffix.length > 1;
		if (isLeft || (entry.isFile() && isLeftHold(file, namespace))) left.add(name);
	}
	return [...left];
}

function isLeftHold(file: string, namespace: string): boolean {
	const { namespaces, sealing } = readHolds(file);
	if (sealing === namespace) return true;
	const hold = namespaces[namespace];
	if (hold === undefined) return Object.keys(namespaces).length === 0;
	return hold.mounted && !isMounted(file.slice(0, -".json".length));
}

function isMounted(directory: string): boolean {
	return existsSync(directory) && linux.isMountRoot(linux.AT_FDCWD, directory);
}

/** Takes away what is kept of a mount that nobody holds, and its directory, where that is empty. */
export function forgetMount(holds: string): void {
	for (const file of [holds, nextOf(holds)]) rmSync(file, { force: true });
	try {
		rmdirSync(holds.slice(0, -".json".length));
	} catch (error) {
		const code = errnoOf(error);
		// Something is in it, or mounted there after all.
		if (code !== "ENOENT" && code !== "ENOTEMPTY" && code !== "EBUSY") throw error;
	}
}

/** Whether anybody may hold the mount, or have held it when a process was killed. */
export function isHeld(file: string): boolean {
	// A throw costs four times the question.
	return statSync(file, { throwIfNoEntry: false }) !== undefined;
}

/** The holds in one mount namespace; undefined where there are none since this boot. */
export function readHold(file: string, namespace: string): Hold | undefined {
	return readHolds(file).namespaces[namespace];
}

/** Whether the mount was being sealed in this namespace: its holder was killed, or has the layer's lock. */
export function isSealing(file: string, namespace: string): boolean {
	return readHolds(file).sealing === namespace;
}

/** Notes before a mount is sealed that it is, and (undefined) after it that it is not. Call it with the layer's lock. */
export function writeSealing(file: string, sealing: string | undefined): void {
	write(file, { ...readHolds(file), sealing });
}

/** Sets or (undefined) clears the holds of one namespace. Call it with the layer's lock. */
export function writeHold(file: string, namespace: string, hold: Hold | undefined): void {
	const { namespaces: before, sealing } = readHolds(file);
	const { [namespace]: _, ...others } = before;
	write(file, { namespaces: hold === undefined ? others : { ...others, [namespace]: hold }, sealing });
}

function write(file: string, { namespaces, sealing }: Pick<HoldsFile, "namespaces" | "sealing">): void {
	if (Object.keys(namespaces).length === 0 && sealing === undefined) {
		try {
			unlinkSync(file);
		} catch (error) {
			if (errnoOf(error) !== "ENOENT") throw error;
		}
		return;
	}
	const holds: HoldsFile = { bootId: bootId(), directory: directoryOf(file), namespaces, sealing };
	writeFileSync(nextOf(file), JSON.stringify(holds), { mode: 0o600 });
	renameSync(nextOf(file), file);
}

function nextOf(holds: string): string {
	return `${holds}.next`;
}

/** Holds in other mount namespaces that some process still lives in. */
export function holdsElsewhere(file: string, namespace: string): number {
	const others = Object.entries(readHolds(file).namespaces).filter(([name]) => name !== namespace);
	if (others.length === 0) return 0;
	const alive = livingNamespaces();
	return others.reduce((sum, [name, hold]) => (alive.has(name) ? sum + hold.count : sum), 0);
}

function readHolds(file: string): Pick<HoldsFile, "namespaces" | "sealing"> {
	if (!isHeld(file)) return NONE;
	try {
		const holds = JSON.parse(readFileSync(file, "utf8")) as HoldsFile;
		return holds.bootId === bootId() && holds.directory === directoryOf(file) ? holds : NONE;
	} catch (error) {
		// Gone in between, or cut off by a power cut, which ended the mounts too.
		if (errnoOf(error) === "ENOENT" || error instanceof SyntaxError) return NONE;
		throw error;
	}
}

function directoryOf(file: string): string {
	const { dev, ino } = statSync(path.dirname(file), { bigint: true });
	return `${dev}:${ino}`;
}

function livingNamespaces(): ReadonlySet<string> {
	const found = new Set<string>();
	for (const process of readdirSync("/proc")) {
		if (!/^\d+$/.test(process)) continue;
		try {
			found.add(linux.namespaceOf(`/proc/${process}/ns/mnt`));
		} catch {
			// The process ended, or is not ours to look at (then its namespace is not ours either).
		}
	}
	return found;
}
