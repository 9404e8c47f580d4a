/**
 * `mounts/<n>.json`: how many holders the mount of the layer in `layers/<n>` has, in each mount namespace since this boot.
 *
 * A mount is a thing of the running kernel, so the count is not in the database: it is read and written under
 * the layer's lock together with mount(2), has to outlive a killed process but not a power cut, and needs no flush.
 * In a copy of the store nothing is held: the file names the directory that it is about.
 */
import {
	existsSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	statSync,
	unlinkSync,
	writeFileSync,
} from "node:fs";
import path from "node:path";
import * as linux from "../../linux/index.ts";
import type { Layout } from "../disk/layout.ts";
import { errnoOf } from "../failure.ts";

export interface Hold {
	readonly count: number;
	/** There is a mount in mountinfo (vfs may hand out a directory). */
	readonly mounted: boolean;
}

interface HoldsFile {
	readonly bootId: string;
	/** Device and inode of the layer's directory: they stay when it is moved, and a copy has others. */
	readonly directory: string;
	/** Mount namespace's inode number → its holds. */
	readonly namespaces: Readonly<Record<string, Hold>>;
}

let bootIdOnce: string | undefined;

/** The kernel's id of this boot. */
export function bootId(): string {
	bootIdOnce ??= readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
	return bootIdOnce;
}

/** The `<n>` of layers that may have holders. */
export function heldLayers({ mounts }: Layout): readonly string[] {
	return existsSync(mounts) ? readdirSync(mounts).map((name) => path.basename(name, ".json")) : [];
}

/** Takes away what is kept of layers that are no more. */
export function sweepHolds(layout: Layout, isLayer: (n: string) => boolean): void {
	for (const n of heldLayers(layout)) {
		if (!isLayer(n)) rmSync(path.join(layout.mounts, `${n}.json`), { force: true });
	}
}

/** The holds in one mount namespace; undefined where there are none since this boot. */
export function readHold(directory: string, namespace: string): Hold | undefined {
	return readHolds(directory)[namespace];
}

/** Sets or (undefined) clears the holds of one namespace. Call it with the layer's lock. */
export function writeHold(directory: string, namespace: string, hold: Hold | undefined): void {
	const { [namespace]: _, ...others } = readHolds(directory);
	const namespaces = hold === undefined ? others : { ...others, [namespace]: hold };
	const file = holdsFile(directory);
	if (Object.keys(namespaces).length === 0) {
		try {
			unlinkSync(file);
		} catch (error) {
			if (errnoOf(error) !== "ENOENT") throw error;
		}
		return;
	}
	const holds: HoldsFile = { bootId: bootId(), directory: identityOf(directory), namespaces };
	writeFileSync(`${file}.next`, JSON.stringify(holds), { mode: 0o600 });
	renameSync(`${file}.next`, file);
}

/** Holds in other mount namespaces that some process still lives in. */
export function holdsElsewhere(directory: string, namespace: string): number {
	const others = Object.entries(readHolds(directory)).filter(([name]) => name !== namespace);
	if (others.length === 0) return 0;
	const alive = livingNamespaces();
	return others.reduce((sum, [name, hold]) => (alive.has(name) ? sum + hold.count : sum), 0);
}

function readHolds(directory: string): Readonly<Record<string, Hold>> {
	const file = holdsFile(directory);
	// Most layers have no such file, and a throw costs four times the question.
	if (statSync(file, { throwIfNoEntry: false }) === undefined) return {};
	try {
		const holds = JSON.parse(readFileSync(file, "utf8")) as HoldsFile;
		return holds.bootId === bootId() && holds.directory === identityOf(directory) ? holds.namespaces : {};
	} catch (error) {
		// Gone in between, or cut off by a power cut, which ended the mounts too.
		if (errnoOf(error) === "ENOENT" || error instanceof SyntaxError) return {};
		throw error;
	}
}

function holdsFile(directory: string): string {
	return path.join(directory, "../../mounts", `${path.basename(directory)}.json`);
}

function identityOf(directory: string): string {
	const { dev, ino } = statSync(directory, { bigint: true });
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
