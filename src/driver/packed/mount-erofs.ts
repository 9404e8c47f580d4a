/**
 * Owns the mounting of EROFS from files: no loop device is made. The kernel takes the devices in the order of the image's
 * table and does not look whether they are the right ones.
 */
import * as linux from "../../linux/index.ts";

/** Bytes of text that fsconfig(2) takes (256 with the NUL). */
const FSCONFIG_TEXT_MAX = 255;

/**
 * A read-only mount of `image` over the open files `deviceFds` that is attached nowhere. The caller closes it: unattached, it is
 * gone then.
 * @throws {SystemError} with the kernel's own message; ENOTBLK where it cannot mount files
 */
export function makeDetachedErofs(image: string, deviceFds: readonly number[]): number {
	const imageFd = linux.openat(linux.AT_FDCWD, image, linux.O_RDONLY);
	let context = -1;
	try {
		context = linux.fsopen("erofs");
		// By its name where that fits, so that a list of mounts can be read.
		const fits = Buffer.byteLength(image) <= FSCONFIG_TEXT_MAX;
		linux.fsconfigString(context, "source", fits ? image : `/proc/self/fd/${imageFd}`);
		for (const fd of deviceFds) linux.fsconfigString(context, "device", `/proc/self/fd/${fd}`);
		linux.fsconfigFlag(context, "ro");
		linux.fsconfigCreate(context);
		return linux.fsmount(context, linux.MOUNT_ATTR_RDONLY);
	} finally {
		if (context !== -1) linux.close(context);
		linux.close(imageFd);
	}
}
