/**
 * Owns overlayfs's mount options: which ones this kernel knows, and how paths are written into them for mount(2).
 * Source: kernel Documentation/filesystems/overlayfs.rst; fs/overlayfs/params.c (ovl_next_opt, ovl_unescape).
 */
import { existsSync, readFileSync } from "node:fs";

const PARAMETERS = "/sys/module/overlay/parameters";

/**
 * `index`, `metacopy` and `redirect_dir` off: with them an upper depends on its lowers in ways that a layer's tar
 * cannot say. Only those that the kernel knows. `userxattr` where trusted.* xattrs cannot be had: it turns the last
 * two off itself, and the kernel refuses `redirect_dir=off` beside it.
 */
export function fixedOptions(inUserNamespace: boolean): string[] {
	const known = (name: string): boolean => existsSync(`${PARAMETERS}/${name}`);
	const off = inUserNamespace ? ["index"] : ["index", "metacopy", "redirect_dir"];
	const options = off.filter(known).map((name) => `${name}=off`);
	// It needs the index; on by default in some kernels, it would contradict index=off.
	if (known("nfs_export") && readFileSync(`${PARAMETERS}/nfs_export`, "latin1").startsWith("Y")) {
		options.push("nfs_export=off");
	}
	if (inUserNamespace) options.push("userxattr");
	return options;
}

/** Whether this process is in a user namespace that does not map all ids one to one. */
export function isInUserNamespace(): boolean {
	try {
		return !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync("/proc/self/uid_map", "latin1"));
	} catch {
		// A kernel without user namespaces has no such file.
		return false;
	}
}

/** A path in `upperdir=` or `workdir=`: commas end the option. */
export function escapeOptionPath(path: string): string {
	return path.replace(/[\\,]/g, "\\$&");
}

/** A path in `lowerdir=`: colons end it too. */
export function escapeLowerPath(path: string): string {
	return path.replace(/[\\,:]/g, "\\$&");
}
