/** Which ids a user name stands for: by the root's own etc/passwd and etc/group, read without leaving the root. */
import { closeSync, fstatSync, readFileSync } from "node:fs";
import { LamellaError } from "../errors/index.ts";
import * as linux from "../linux/index.ts";

export interface UserIds {
	readonly uid: number;
	readonly gid: number;
}

const FILE_BYTES_MAX = 4 << 20;
const ID_MAX = 0xffff_fffe;

/**
 * `NAME`, `UID`, `NAME:GROUP`, `UID:GID`, as an image's config has them. Without a group it is the user's own, or 0 for
 * an id that etc/passwd does not have. Source: OCI image spec, config.md, "User".
 * @throws {LamellaError} `ENOTFOUND` where the root does not have the name
 */
export function lookUpUser(rootFd: number, user: string): UserIds {
	const [userPart = "", groupPart] = user.split(":", 2);
	const fromPasswd = userPart === "" ? undefined : findLine(rootFd, "etc/passwd", userPart);
	const uid = userPart === "" ? 0 : (id(userPart) ?? id(fromPasswd?.[2]));
	if (uid === undefined) {
		throw new LamellaError(
			"ENOTFOUND",
			`the root's /etc/passwd has no user ${JSON.stringify(userPart)}; give an id`,
		);
	}
	if (groupPart === undefined || groupPart === "") return { uid, gid: id(fromPasswd?.[3]) ?? 0 };
	const gid = id(groupPart) ?? id(findLine(rootFd, "etc/group", groupPart)?.[2]);
	if (gid === undefined) {
		throw new LamellaError(
			"ENOTFOUND",
			`the root's /etc/group has no group ${JSON.stringify(groupPart)}; give an id`,
		);
	}
	return { uid, gid };
}

/** The fields of the line for `name`; for a number, of the first line with that id. */
function findLine(rootFd: number, file: string, name: string): readonly string[] | undefined {
	const isId = id(name) !== undefined;
	return readIn(rootFd, file)
		.split("\n")
		.map((line) => line.split(":"))
		.find((fields) => fields[isId ? 2 : 0] === name);
}

function readIn(rootFd: number, file: string): string {
	let fd: number | undefined;
	try {
		fd = linux.openFileInRoot(rootFd, file, linux.O_RDONLY);
	} catch (error) {
		if (linux.isSystemError(error, "ENOENT", "ENOTDIR", "ELOOP")) return "";
		throw error;
	}
	if (fd === undefined) return "";
	try {
		return fstatSync(fd).size <= FILE_BYTES_MAX ? readFileSync(fd, "utf8") : "";
	} finally {
		closeSync(fd);
	}
}

function id(text: string | undefined): number | undefined {
	if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
	const value = Number(text);
	return value <= ID_MAX ? value : undefined;
}
