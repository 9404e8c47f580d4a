/**
 * Owns the choice of a driver for a state root. What was asked for is taken where it works, else an error says what does
 * not; `auto` takes packed where it works, else overlay, else vfs.
 */
import { escapePath, isLamellaError, LamellaError } from "../errors/index.ts";
import * as linux from "../linux/index.ts";
import { type BackingFilesystem, inspectBackingFilesystem } from "./backing-filesystem.ts";
import type { Driver, DriverName, LayerJobRunner } from "./driver.ts";
import { OverlayDriver } from "./overlay/overlay-driver.ts";
import { type ProbeResult, probeOverlay } from "./overlay/probe.ts";
import { probePacked } from "./packed/probe.ts";
import { VfsDriver } from "./vfs/vfs-driver.ts";

export interface OpenDriverOptions {
	/** The state root, which exists. */
	readonly root: string;
	/** Where overlay is tried out: a directory that others sweep if this process is killed. Default: the root. */
	readonly trialIn?: string | undefined;
	/** Default `auto`. */
	readonly name?: DriverName | "auto" | undefined;
	/** `auto` is an error where only vfs works. */
	readonly mustMount?: boolean | undefined;
	readonly jobs: LayerJobRunner;
}

type Status = readonly (readonly [string, string])[];

/**
 * Opens the driver, after it was tried out in `root` (about 10 ms).
 * @throws {LamellaError} `EINCOMPATIBLEFS` naming the filesystem and what does not work on it; `EPERMISSION` without
 * the rights to mount or to write there; `ENOTSUPPORTED` where the kernel has no overlay; `ENATIVE`
 */
export function openDriver(options: OpenDriverOptions): Driver {
	const { root, trialIn = root, name = "auto", mustMount = false, jobs } = options;
	const filesystem = inRoot(root, () => inspectBackingFilesystem(root));
	const tryOverlay = once(() => inRoot(root, () => probeOverlay(trialIn)));
	const tryPacked = once(() => inRoot(root, () => probePacked(trialIn, tryOverlay().options)));
	const whyVfs = (): LamellaError | undefined =>
		tryOverlay().problems.length === 0 ? undefined : refuse(root, filesystem, tryOverlay());
	const vfs = (): Driver =>
		new VfsDriver(jobs, () => [...statusOf(filesystem), ...reason("Not overlay because", whyVfs)]);
	// A store keeps the driver that it was made with, and its status tells the reason each time.
	if (name === "vfs") return vfs();
	const refusal = whyVfs();
	if (refusal !== undefined) {
		if (name !== "auto" || mustMount) throw refusal;
		return vfs();
	}
	const problem = name === "overlay" ? undefined : tryPacked();
	if (problem !== undefined && name === "packed") throw problem;
	const packs = name !== "overlay" && problem === undefined;
	return openOverlay(options, filesystem, tryOverlay(), {
		packs,
		notPacked: () => (packs ? [] : reason("Not packed because", tryPacked)),
	});
}

function reason(key: string, why: () => LamellaError | undefined): Status {
	try {
		const found = why();
		return found === undefined ? [] : [[key, found.message]];
	} catch (error) {
		// A status is shown on a full disk too, where nothing can be tried.
		if (!isLamellaError(error)) throw error;
		return [];
	}
}

/** A trial is made when its result is first asked for. */
function once<T>(run: () => T): () => T {
	let done: { readonly result: T } | undefined;
	return () => {
		done ??= { result: run() };
		return done.result;
	};
}

function openOverlay(
	{ jobs, trialIn }: OpenDriverOptions,
	filesystem: BackingFilesystem,
	probe: ProbeResult,
	{ packs, notPacked }: { readonly packs: boolean; readonly notPacked: () => Status },
): Driver {
	const { api, options, xattrPrefix } = probe;
	const status = (): Status => [
		...statusOf(filesystem),
		["Supports d_type", "true"],
		["Overlay options", options.join(",")],
		["Overlay xattrs", `${xattrPrefix}*`],
		["Mounted by", api === "fsconfig" ? "fsconfig(2), lowerdir+" : "mount(2)"],
		...notPacked(),
	];
	return new OverlayDriver({ api, options, xattrPrefix, status, packs }, { jobs, scratch: trialIn });
}

function statusOf({ name, reflinks, hardLinks }: BackingFilesystem): Status {
	return [
		["Backing filesystem", name],
		["Reflinks", String(reflinks)],
		["Hard links", String(hardLinks)],
	];
}

/** What to do on filesystems where the kernel's refusal does not say why. */
const HINTS: Readonly<Record<string, string>> = {
	overlay: "overlayfs cannot write onto an overlayfs, as inside of a container; put the state on a volume",
	aufs: "overlayfs cannot write onto aufs, as inside of a container; put the state on a volume",
	ecryptfs: "overlayfs cannot write onto ecryptfs; put the state outside of an encrypted home",
	nfs: "overlayfs cannot write onto NFS; put the state on a local disk",
	zfs: "overlayfs needs OpenZFS 2.2 and later",
};

function refuse(root: string, filesystem: BackingFilesystem, { problems, cause }: ProbeResult): LamellaError {
	const path = escapePath(Buffer.from(root));
	const details = { path, cause };
	if (linux.isSystemError(cause, "ENODEV") && cause.syscall !== "mknodat") {
		return new LamellaError(
			"ENOTSUPPORTED",
			`this kernel has no overlay filesystem; load it (modprobe overlay), or use the vfs driver`,
			details,
		);
	}
	if (linux.isSystemError(cause, "EPERM", "EACCES") && problems[0]?.startsWith("mounting") === true) {
		return new LamellaError(
			"EPERMISSION",
			"overlay needs the right to mount (CAP_SYS_ADMIN); run as root, or use the vfs driver",
			details,
		);
	}
	const hint = HINTS[filesystem.name] ?? "use a directory on ext4, xfs, btrfs or tmpfs";
	return new LamellaError(
		"EINCOMPATIBLEFS",
		`overlay does not work on ${filesystem.name} (${path}): ${problems.join("; ")}. ${hint}, or use the vfs driver`,
		details,
	);
}

/** Failures to use `root` at all, as errors about it. */
function inRoot<T>(root: string, run: () => T): T {
	try {
		return run();
	} catch (cause) {
		const code: unknown = cause instanceof Error ? Reflect.get(cause, "code") : undefined;
		const path = escapePath(Buffer.from(root));
		const details = { path, cause };
		if (code === "EACCES" || code === "EPERM") {
			throw new LamellaError(
				"EPERMISSION",
				`cannot write to ${path}: permission denied; run as root`,
				details,
			);
		}
		if (code === "EROFS") {
			throw new LamellaError(
				"ECONFIG",
				`${path} is on a read-only filesystem; choose another state root`,
				details,
			);
		}
		if (code === "ENOSPC" || code === "EDQUOT") {
			throw new LamellaError("ENOSPACE", `the disk of ${path} is full; make room and try again`, details);
		}
		if (code === "ENOENT" || code === "ENOTDIR") {
			throw new LamellaError(
				"ECONFIG",
				`the state root ${path} does not exist, or is not a directory`,
				details,
			);
		}
		throw cause;
	}
}
