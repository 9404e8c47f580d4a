/** Owns bind mounts: one tree seen at another place, read-only where it must not change. */
import * as linux from "../linux/index.ts";

/** Mounts the directory `source` at `target`. @throws {SystemError} */
export function mountBind(source: string, target: string, readOnly: boolean): void {
	linux.mount(source, target, null, linux.MS_BIND);
	if (!readOnly) return;
	try {
		// MS_RDONLY does nothing in the first call (mount(2)).
		linux.mount(null, target, null, linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY);
	} catch (error) {
		linux.umount2(target, linux.MNT_DETACH | linux.UMOUNT_NOFOLLOW);
		throw error;
	}
}
