/** For tests: mounts an EROFS image whose content is in further files. */
import * as linux from "../../linux/index.ts";

/** Mounts at `target`, until disposed. @throws {SystemError} with the kernel's message */
export function mountErofs(target: string, image: string, devices: readonly string[]): Disposable {
	const open = [linux.fsopen("erofs")];
	const [context = -1] = open;
	const opened = (file: string): string => {
		const fd = linux.openat(linux.AT_FDCWD, file, linux.O_RDONLY);
		open.push(fd);
		return `/proc/self/fd/${fd}`;
	};
	try {
		linux.fsconfigString(context, "source", opened(image));
		for (const file of devices) linux.fsconfigString(context, "device", opened(file));
		linux.fsconfigFlag(context, "ro");
		linux.fsconfigCreate(context);
		const detached = linux.fsmount(context, linux.MOUNT_ATTR_RDONLY);
		open.push(detached);
		linux.moveMount(detached, "", linux.AT_FDCWD, target, linux.MOVE_MOUNT_F_EMPTY_PATH);
	} finally {
		for (const fd of open) linux.close(fd);
	}
	return { [Symbol.dispose]: () => linux.umount2(target) };
}
