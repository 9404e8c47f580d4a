/**
 * What an entry must be so that it can be written and read back as the same.
 */
import { escapePath, LamellaError } from "../errors/index.ts";
import type { TarEntry } from "./entry.ts";

export function invalid(entry: TarEntry | undefined, problem: string): LamellaError {
	const path = entry === undefined ? undefined : escapePath(entry.path);
	const what = path === undefined ? "tar" : `tar entry "${path}"`;
	return new LamellaError("EINVALID", `${what} cannot be written: ${problem}`, { path });
}

/** @throws {LamellaError} `EINVALID` */
export function checkEntry(entry: TarEntry): void {
	checkPath(entry, entry.path, "path");
	const isLink = entry.type === "symlink" || entry.type === "hardlink";
	if (isLink) checkPath(entry, entry.linkPath, "link target");
	else if (entry.linkPath.length > 0) throw invalid(entry, "it has a link target but is no link");
	if (entry.type === "file" && entry.path[entry.path.length - 1] === 0x2f) {
		throw invalid(entry, "a regular file's path must not end with a slash (readers take it for a directory)");
	}
	if (!Number.isInteger(entry.mode) || entry.mode < 0 || entry.mode > 0o7777) {
		throw invalid(entry, `its mode ${entry.mode} is not within 0 to 0o7777`);
	}
	for (const [name, number] of [
		["uid", entry.uid],
		["gid", entry.gid],
	] as const) {
		if (!Number.isSafeInteger(number)) throw invalid(entry, `its ${name} ${number} is no integer`);
	}
	for (const [name, number] of [
		["size", entry.sizeBytes],
		["device major", entry.deviceMajor],
		["device minor", entry.deviceMinor],
	] as const) {
		if (!Number.isSafeInteger(number) || number < 0) {
			throw invalid(entry, `its ${name} ${number} is not a whole number from 0`);
		}
	}
	if (entry.type !== "file" && entry.sizeBytes !== 0) throw invalid(entry, "only regular files have a size");
	if (entry.uname?.includes(0)) throw invalid(entry, "its user name holds a NUL byte");
	if (entry.gname?.includes(0)) throw invalid(entry, "its group name holds a NUL byte");
	checkXattrs(entry);
	checkExtents(entry);
}

function checkPath(entry: TarEntry, path: Buffer, what: string): void {
	if (path.length === 0) throw invalid(entry, `its ${what} is empty`);
	if (path.includes(0)) throw invalid(entry, `its ${what} holds a NUL byte`);
}

function checkXattrs(entry: TarEntry): void {
	if (entry.xattrs.length === 0) return;
	const names = new Set<string>();
	for (const { name } of entry.xattrs) {
		if (name.length === 0 || name.includes(0)) throw invalid(entry, "an xattr has no proper name");
		names.add(name.toString("latin1"));
	}
	if (names.size !== entry.xattrs.length) throw invalid(entry, "it has the same xattr twice");
}

function checkExtents(entry: TarEntry): void {
	if (entry.dataExtents === undefined) return;
	if (entry.type !== "file") throw invalid(entry, "only regular files can be sparse");
	let end = 0;
	for (const { offset, sizeBytes } of entry.dataExtents) {
		const proper = Number.isSafeInteger(offset) && Number.isSafeInteger(sizeBytes) && sizeBytes > 0;
		if (!proper || offset < end)
			throw invalid(entry, "its data extents are empty, overlap or are out of order");
		end = offset + sizeBytes;
	}
	if (end > entry.sizeBytes) throw invalid(entry, "its data extents go beyond its size");
}
