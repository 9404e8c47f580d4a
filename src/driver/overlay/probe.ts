/**
 * Owns the trial that decides whether overlayfs works on a filesystem: it mounts one and does in it what layers
 * need. Where the kernel lets it, the mount is attached nowhere, so that even a kill leaves no mount behind.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { OverlayXattrPrefix } from "../../layer/index.ts";
import * as linux from "../../linux/index.ts";
import { unmountTree } from "../unmount.ts";
import { type MountApi, makeDetachedOverlay, mountOverlay, type OverlayMount } from "./mount-overlay.ts";
import { fixedOptions, isInUserNamespace } from "./options.ts";

export interface ProbeResult {
	/** What does not work, in words; empty where all does. */
	readonly problems: readonly string[];
	/** The first failure of the kernel, if there was one. */
	readonly cause?: unknown;
	readonly api: MountApi;
	readonly options: readonly string[];
	readonly xattrPrefix: OverlayXattrPrefix;
}

/** The mounted trial: `merged` is the open root of the mount, `upper` and `lower` its directories. */
interface Trial {
	readonly merged: number;
	readonly upper: number;
	readonly lower: number;
	readonly xattrPrefix: OverlayXattrPrefix;
}

/** Each says what is wrong, or nothing; a SystemError that it throws is what is wrong. */
const TRIALS: readonly (readonly [what: string, run: (trial: Trial) => string | undefined])[] = [
	["d_type", tryDirectoryTypes],
	["whiteouts", tryWhiteout],
	["opaque directories", tryOpaque],
	["copying up", tryCopyUp],
	["renaming", tryRename],
];

/**
 * Tries overlayfs in a directory of its own below `parent`, which is gone afterwards.
 * @throws {SystemError} where `parent` itself cannot be written to
 */
export function probeOverlay(parent: string): ProbeResult {
	const directory = mkdtempSync(path.join(parent, "probe-"));
	try {
		return probeIn(directory);
	} finally {
		rmSync(directory, { recursive: true, force: true });
	}
}

function probeIn(directory: string): ProbeResult {
	const inUserNamespace = isInUserNamespace();
	const options = fixedOptions(inUserNamespace);
	const xattrPrefix: OverlayXattrPrefix = inUserNamespace ? "user.overlay." : "trusted.overlay.";
	const at = (name: string): string => path.join(directory, name);
	const facts = { options, xattrPrefix };
	try {
		makeTrees(at);
		const mount: OverlayMount = {
			lowers: [at("lower-top"), at("lower")],
			upper: { directory: at("upper"), work: at("work") },
			options,
		};
		let merged: number;
		let api: MountApi = "fsconfig";
		try {
			merged = makeDetachedOverlay(mount);
		} catch (error) {
			// EINVAL, ENOSYS: a kernel without the call or without lowerdir+. Then mount(2) is tried, and says what is wrong.
			if (linux.isSystemError(error, "EPERM", "ENODEV")) return { ...facts, api, ...mountProblem(error) };
			api = "mount";
			try {
				mountOverlay("mount", mount, at("merged"));
				merged = linux.openat(linux.AT_FDCWD, at("merged"), linux.O_PATH | linux.O_DIRECTORY);
			} catch (older) {
				return { ...facts, api, ...mountProblem(older) };
			}
		}
		try {
			return { ...facts, api, ...runTrials(merged, at, xattrPrefix) };
		} finally {
			linux.close(merged);
		}
	} finally {
		unmountTree(at("merged"), { detach: true });
	}
}

function makeTrees(at: (name: string) => string): void {
	for (const name of [
		"lower-top",
		"lower/covered",
		"lower/directory/inner",
		"lower/renamed-directory",
		"upper",
		"work",
		"merged",
	]) {
		mkdirSync(at(name), { recursive: true });
	}
	for (const name of ["deleted", "renamed", "changed", "covered/below", "directory/file"]) {
		writeFileSync(at(`lower/${name}`), "below");
	}
	writeFileSync(at("lower-top/changed"), "on top");
}

function mountProblem(error: unknown): { problems: string[]; cause: unknown } {
	const message = error instanceof Error ? error.message : String(error);
	return { problems: [`mounting (${message})`], cause: error };
}

function runTrials(
	merged: number,
	at: (name: string) => string,
	xattrPrefix: OverlayXattrPrefix,
): { problems: string[]; cause?: unknown } {
	const problems: string[] = [];
	const causes: unknown[] = [];
	const upper = linux.openat(linux.AT_FDCWD, at("upper"), linux.O_RDONLY | linux.O_DIRECTORY);
	const lower = linux.openat(linux.AT_FDCWD, at("lower"), linux.O_RDONLY | linux.O_DIRECTORY);
	try {
		for (const [what, run] of TRIALS) {
			try {
				const wrong = run({ merged, upper, lower, xattrPrefix });
				if (wrong !== undefined) problems.push(`${what} (${wrong})`);
			} catch (error) {
				if (!linux.isSystemError(error)) throw error;
				problems.push(`${what} (${error.message})`);
				causes.push(error);
			}
		}
	} finally {
		linux.close(upper);
		linux.close(lower);
	}
	return causes.length === 0 ? { problems } : { problems, cause: causes[0] };
}

/** Without them overlayfs cannot tell a whiteout while it lists (xfs with ftype=0, ext4 without filetype). */
function tryDirectoryTypes({ lower }: Trial): string | undefined {
	const untold = linux.readDirectory(lower).some(({ type }) => type === linux.DT_UNKNOWN);
	return untold
		? "directories do not tell the types of their files; on xfs, make it with ftype=1, on ext4 with filetype"
		: undefined;
}

function tryWhiteout({ merged, upper }: Trial): string | undefined {
	linux.unlinkat(merged, "deleted");
	const left = linux.tryFstatat(upper, "deleted");
	if (left === undefined || !linux.isCharacter(left) || left.rdevMajor !== 0 || left.rdevMinor !== 0) {
		return "deleting leaves no whiteout device";
	}
	// And by hand, as applying a layer does.
	linux.mknodat(upper, "by-hand", linux.S_IFCHR | 0o600, 0, 0);
	return undefined;
}

function tryOpaque({ merged, upper, xattrPrefix }: Trial): string | undefined {
	linux.unlinkat(merged, "covered/below");
	linux.unlinkat(merged, "covered", linux.AT_REMOVEDIR);
	linux.mkdirat(merged, "covered", 0o755);
	if (linux.lgetxattrAt(upper, "covered", `${xattrPrefix}opaque`)?.toString() !== "y") {
		return "a directory made anew is not opaque";
	}
	linux.mkdirat(upper, "opaque-by-hand", 0o755);
	linux.lsetxattrAt(upper, "opaque-by-hand", `${xattrPrefix}opaque`, Buffer.from("y"));
	return undefined;
}

/** With metacopy on, a change of mode would leave the data below. */
function tryCopyUp({ merged, upper, xattrPrefix }: Trial): string | undefined {
	linux.fchmodat(merged, "changed", 0o600);
	if (linux.lgetxattrAt(upper, "changed", `${xattrPrefix}metacopy`) !== undefined) {
		return "metacopy cannot be turned off";
	}
	const fd = linux.openat(upper, "changed", linux.O_RDONLY);
	try {
		const content = Buffer.alloc(16);
		const length = linux.read(fd, content);
		return content.toString("utf8", 0, length) === "on top" ? undefined : "the copy has another content";
	} finally {
		linux.close(fd);
	}
}

/** A directory from below must answer EXDEV (then programs copy it): renamed, it would point to its old place. */
function tryRename({ merged, upper }: Trial): string | undefined {
	linux.renameat2(merged, "renamed", merged, "renamed-file");
	const left = linux.tryFstatat(upper, "renamed");
	if (left === undefined || !linux.isCharacter(left)) return "renaming leaves no whiteout device";
	linux.mkdirat(merged, "new-directory", 0o755);
	linux.renameat2(merged, "new-directory", merged, "new-directory-renamed");
	try {
		linux.renameat2(merged, "renamed-directory", merged, "elsewhere");
	} catch (error) {
		if (linux.isSystemError(error, "EXDEV")) return undefined;
		throw error;
	}
	return "redirect_dir cannot be turned off";
}
