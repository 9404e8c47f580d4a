/**
 * Owns the mounting of overlayfs, in two ways: by fsconfig(2) with one `lowerdir+` a lower (Linux 6.8), where
 * neither a page nor escaping limits the paths; and by mount(2), where options that do not fit a page name their
 * directories by `/proc/self/fd/N`. (Short relative names after a chdir would do too, but the working directory
 * belongs to all threads.)
 */
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";
import { isSelinuxActive, mountLabelOption } from "../../selinux/index.ts";
import { escapeLowerPath, escapeOptionPath } from "./options.ts";

export type MountApi = "fsconfig" | "mount";

export interface OverlayMount {
	/** What mountinfo shows as the source; default `overlay`. */
	readonly source?: string | undefined;
	/** Top first. */
	readonly lowers: readonly string[];
	/** Without one the mount is read-only. */
	readonly upper?: { readonly directory: string; readonly work: string } | undefined;
	/** `index=off`, `userxattr`, … */
	readonly options: readonly string[];
	readonly mountLabel?: string | undefined;
}

/** Bytes of text that fsconfig(2) takes (256 with the NUL). */
const FSCONFIG_TEXT_MAX = 255;
/** Bytes of options that mount(2) takes (a page with the NUL). */
const MOUNT_DATA_MAX = 4095;
const PATH_FLAGS = linux.O_PATH | linux.O_DIRECTORY;

/** Directories held open for as long as the kernel needs to find them by `/proc/self/fd/N`. */
class OpenDirectories {
	readonly #fds: number[] = [];

	/** A short path without special characters for the same directory. */
	shorten(path: string): string {
		const fd = linux.openat(linux.AT_FDCWD, path, PATH_FLAGS);
		this.#fds.push(fd);
		return `/proc/self/fd/${fd}`;
	}

	[Symbol.dispose](): void {
		for (const fd of this.#fds) linux.close(fd);
	}
}

/**
 * A mount that is attached nowhere, by fsconfig(2). The caller closes it: unattached, it is gone then.
 * @throws {SystemError} with the kernel's own message
 */
export function makeDetachedOverlay(mount: OverlayMount): number {
	refuseLabelWithoutSelinux(mount.mountLabel);
	using open = new OpenDirectories();
	// The kernel takes backslashes out of upperdir and workdir, but not out of lowerdir+.
	const value = (path: string): string =>
		path.includes("\\") || Buffer.byteLength(path) > FSCONFIG_TEXT_MAX ? open.shorten(path) : path;
	const context = linux.fsopen("overlay");
	try {
		linux.fsconfigString(context, "source", mount.source ?? "overlay");
		for (const option of mount.options) {
			const [key = option, setting] = option.split("=");
			if (setting === undefined) linux.fsconfigFlag(context, key);
			else linux.fsconfigString(context, key, setting);
		}
		if (mount.mountLabel !== undefined) linux.fsconfigString(context, "context", mount.mountLabel);
		for (const lower of mount.lowers) linux.fsconfigString(context, "lowerdir+", value(lower));
		if (mount.upper !== undefined) {
			linux.fsconfigString(context, "upperdir", value(mount.upper.directory));
			linux.fsconfigString(context, "workdir", value(mount.upper.work));
		}
		linux.fsconfigCreate(context);
		return linux.fsmount(context, mount.upper === undefined ? linux.MOUNT_ATTR_RDONLY : 0);
	} finally {
		linux.close(context);
	}
}

/** The options for mount(2), with the paths escaped; what an administrator would type. */
export function classicalOptions(mount: OverlayMount, path: (path: string) => string = (p) => p): string[] {
	const options = [...mount.options];
	if (mount.upper !== undefined) {
		options.push(`workdir=${escapeOptionPath(path(mount.upper.work))}`);
		options.push(`upperdir=${escapeOptionPath(path(mount.upper.directory))}`);
	}
	options.push(`lowerdir=${mount.lowers.map((lower) => escapeLowerPath(path(lower))).join(":")}`);
	if (mount.mountLabel !== undefined) options.push(mountLabelOption(mount.mountLabel));
	return options;
}

/**
 * Mounts at the directory `target`.
 * @throws {SystemError}
 * @throws {LamellaError} `ENOTSUPPORTED` where an old kernel cannot take so many lowers, or a label
 */
export function mountOverlay(api: MountApi, mount: OverlayMount, target: string): void {
	if (api === "fsconfig") {
		const detached = makeDetachedOverlay(mount);
		try {
			linux.moveMount(detached, "", linux.AT_FDCWD, target, linux.MOVE_MOUNT_F_EMPTY_PATH);
		} finally {
			linux.close(detached);
		}
		return;
	}
	refuseLabelWithoutSelinux(mount.mountLabel);
	const flags = mount.upper === undefined ? linux.MS_RDONLY : 0;
	let options = classicalOptions(mount).join(",");
	using open = new OpenDirectories();
	if (Buffer.byteLength(options) > MOUNT_DATA_MAX) {
		options = classicalOptions(mount, (path) => open.shorten(path)).join(",");
	}
	if (Buffer.byteLength(options) > MOUNT_DATA_MAX) {
		throw new LamellaError(
			"ENOTSUPPORTED",
			`this kernel cannot merge ${mount.lowers.length} layers (Linux 6.8 and later can); flatten the layer below`,
		);
	}
	linux.mount(mount.source ?? "overlay", target, "overlay", flags, options);
}

/**
 * Puts a mount in the place of the one at `target`: beneath it, before that one goes, where the kernel can (Linux 6.5). Else
 * the path is bare for a moment.
 * @throws as mountOverlay; what was mounted is then still there, or nothing is
 */
export function swapOverlay(api: MountApi, mount: OverlayMount, target: string): void {
	const takeOld = (): void => linux.umount2(target, linux.UMOUNT_NOFOLLOW | linux.MNT_DETACH);
	if (api === "mount") {
		takeOld();
		mountOverlay(api, mount, target);
		return;
	}
	const detached = makeDetachedOverlay(mount);
	const put = (flags: number): void =>
		linux.moveMount(detached, "", linux.AT_FDCWD, target, linux.MOVE_MOUNT_F_EMPTY_PATH | flags);
	try {
		put(linux.MOVE_MOUNT_BENEATH);
		takeOld();
	} catch (error) {
		if (!linux.isSystemError(error, "EINVAL")) throw error;
		takeOld();
		put(0);
	} finally {
		linux.close(detached);
	}
}

/** A label that is silently not applied would leave the files open to others. */
export function refuseLabelWithoutSelinux(mountLabel: string | undefined): void {
	if (mountLabel === undefined || isSelinuxActive()) return;
	throw new LamellaError(
		"ENOTSUPPORTED",
		`SELinux is not active on this host, so the mount label ${mountLabel} cannot be given; leave it out`,
	);
}
