/**
 * What is to go when this process goes, however it ends: layers and holds of mounts. Both name the process; once that
 * is gone, `sweepTemporary` takes them away.
 *
 * - A layer has a label that names it: it is there from the layer's first moment and goes with it.
 * - A hold of a mount has a record, made after the hold and deleted before it is given back: a kill in between leaves a
 *   hold too many, never one too few.
 */
import { randomUUID } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { isLamellaError } from "../errors/index.ts";
import type { Labels, LayerId, LayerStore, Mount } from "../store/index.ts";

const LABEL = "lamella.temporary";
const HOLDS = "temporary-holds";

interface Hold {
	readonly layer: LayerId;
	/** The layer's own; another one of the same name has another. */
	readonly mountPoint: string;
	readonly process: string;
}

/** The label for a layer that is this process's. */
export function temporaryLabel(): Labels {
	return { [LABEL]: thisProcess() };
}

/** Makes `mount`, a hold of this process, one that a later process gives back where this one does not. */
export async function holdTemporarily(store: LayerStore, layer: LayerId, mount: Mount): Promise<Mount> {
	const key = randomUUID();
	const holds = store.records<Hold>(HOLDS);
	try {
		await holds.put(key, { layer, mountPoint: store.get(layer).mountPoint, process: thisProcess() });
	} catch (error) {
		await mount.unmount();
		throw error;
	}
	const unmount = async (): Promise<void> => {
		await holds.remove(key);
		await mount.unmount();
	};
	return { path: mount.path, unmount, [Symbol.asyncDispose]: unmount };
}

/** Removes the layers and gives back the holds of processes that are gone. */
export async function sweepTemporary(store: LayerStore): Promise<void> {
	for (const [key, hold] of [...store.records<Hold>(HOLDS).list()]) {
		const fate = fateOf(hold.process);
		if (fate === "unknown") continue;
		// Several processes may sweep: who deletes the record gives the hold back.
		const isOurs = await store.transaction((transaction) => {
			const holds = transaction.records<Hold>(HOLDS);
			const isThere = holds.get(key) !== undefined;
			if (isThere) holds.remove(key);
			return isThere;
		});
		const isSame = store.has(hold.layer) && store.get(hold.layer).mountPoint === hold.mountPoint;
		// After a boot there is no mount to give back.
		if (isOurs && isSame && fate === "gone") await ifThere(store.unmount(hold.layer));
	}
	for (const { id, labels } of [...store.list()]) {
		const owner = labels[LABEL];
		if (owner !== undefined && fateOf(owner) !== "unknown") await ifThere(store.remove(id, { force: true }));
	}
}

async function ifThere(work: Promise<void>): Promise<void> {
	try {
		await work;
	} catch (error) {
		if (!isLamellaError(error, "ENOTFOUND")) throw error;
	}
}

/** A process of this machine: boot, process and mount namespace, pid, and when it started (a pid comes again). */
function thisProcess(): string {
	return [...place(), process.pid, startOf("self")].join(" ");
}

function place(): [boot: string, namespaces: string] {
	const namespaces = ["pid", "mnt"].map((name) => readlinkSync(`/proc/self/ns/${name}`)).join();
	return [readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim(), namespaces];
}

/** `unknown` where it may live: also in another container, whose processes and mounts cannot be seen from here. */
function fateOf(named: string): "unknown" | "gone" | "before this boot" {
	const [boot, namespaces, pid, start] = named.split(" ");
	const [thisBoot, thisPlace] = place();
	if (boot !== thisBoot) return "before this boot";
	return namespaces === thisPlace && startOf(pid ?? "") !== start ? "gone" : "unknown";
}

/** When a process started, in clock ticks since the boot; undefined where it has ended. Source: proc_pid_stat(5). */
function startOf(pid: string): string | undefined {
	try {
		const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
		// The second field is the program's name, which may hold anything.
		const [state, ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
		return state === "Z" || state === "X" ? undefined : fields[18];
	} catch {
		// ENOENT, or ESRCH while it is read: it has ended.
		return undefined;
	}
}
