/**
 * The numbers of an entry against what the kernel takes. A tar can state any number; chown(2) takes 2^32 - 1 for
 * "leave the owner as it is", and a larger one would come out as another owner or device.
 *
 * Sizes have their cap in src/tar; a time beyond what the filesystem holds is brought to its nearest (and said).
 */
import { LamellaError } from "../../errors/index.ts";
import type { TarEntry } from "../../tar/index.ts";
import { forPeople, latin1 } from "./entry-path.ts";

const OWNER_MAX = 0xffff_fffe;
/** Bits of a device number: 12 of major, 20 of minor (linux/kdev_t.h). */
const MAJOR_MAX = 0xfff;
const MINOR_MAX = 0xf_ffff;

/** @throws {LamellaError} `ETAR` where the kernel does not have such an owner or device. */
export function checkNumbers(entry: TarEntry): void {
	check(entry, "owner", entry.uid, OWNER_MAX);
	check(entry, "group", entry.gid, OWNER_MAX);
	if (entry.type !== "character" && entry.type !== "block") return;
	check(entry, "major device number", entry.deviceMajor, MAJOR_MAX);
	check(entry, "minor device number", entry.deviceMinor, MINOR_MAX);
}

function check(entry: TarEntry, what: string, number: number, max: number): void {
	if (Number.isInteger(number) && number >= 0 && number <= max) return;
	const path = forPeople(latin1(entry.path));
	throw new LamellaError("ETAR", `"${path}" has the ${what} ${number}, and Linux takes 0 to ${max}`, {
		path,
	});
}
