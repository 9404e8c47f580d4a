/**
 * Owns SELinux mount labels: how one is written into mount options, as moby's drivers do (`context="…"`), and
 * whether the host can take one. The quotes are needed because a label's categories hold commas (`s0:c1,c2`);
 * the kernel takes them off again for mount(2), but not for fsconfig(2), which gets the label bare.
 */
import { existsSync } from "node:fs";
import { LamellaError } from "../errors/index.ts";

/**
 * Checks that a label can be quoted without meaning something else.
 * @throws {LamellaError} `EINVALID` for an empty one, quotes, backslashes, control characters and spaces
 */
function checkMountLabel(label: string): string {
	if (!/^[!#-[\]-~]+$/.test(label) || label.length > 4000) {
		throw new LamellaError(
			"EINVALID",
			`${JSON.stringify(label)} is not a mount label; one looks like system_u:object_r:container_file_t:s0:c1,c2`,
		);
	}
	return label;
}

/** The option for one label: `context="…"`. @throws {LamellaError} `EINVALID` */
export function mountLabelOption(label: string): string {
	return `context="${checkMountLabel(label)}"`;
}

/** Whether SELinux is active on this host (libselinux looks for the same place). */
export function isSelinuxActive(): boolean {
	return existsSync("/sys/fs/selinux/enforce");
}
