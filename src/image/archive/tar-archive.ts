/**
 * An image archive: an uncompressed tar that can be read at any offset. Its members are listed once; symlinks and hard
 * links are followed among them (docker save before 25 links a repeated layer to the first). Nothing is unpacked.
 */
import fs from "node:fs";
import { isLamellaError, LamellaError } from "../../errors/index.ts";
import { type TarMember, tarMembers } from "../../tar/index.ts";
import type { ImageContent, Located } from "./content.ts";
import { readLocated } from "./layout-directory.ts";

/** A thousand layers in docker's old form are 4,000 members. */
const MAX_MEMBERS = 1 << 16;
const MAX_LINKS = 16;

export class TarArchive implements ImageContent {
	readonly description: string;
	readonly repository: string | undefined;
	readonly #fd: number;
	/** Cleaned name → the last member of that name, as unpacking would leave it. */
	readonly #members: ReadonlyMap<string, TarMember>;

	private constructor(
		description: string,
		repository: string | undefined,
		fd: number,
		members: Map<string, TarMember>,
	) {
		this.description = description;
		this.repository = repository;
		this.#fd = fd;
		this.#members = members;
	}

	/**
	 * Lists the archive that is open as `fd`, which is closed with it (and where this throws).
	 * @throws {LamellaError} `EARCHIVE` where it is no tar, is truncated, or has too many members
	 */
	static open(fd: number, description: string, repository: string | undefined): TarArchive {
		try {
			return new TarArchive(description, repository, fd, listMembers(fd, description));
		} catch (error) {
			fs.closeSync(fd);
			throw error;
		}
	}

	find(name: string): Located | undefined {
		let wanted = cleanName(name);
		for (let links = 0; links <= MAX_LINKS; links++) {
			const member = wanted === undefined ? undefined : this.#members.get(wanted);
			if (member === undefined) return undefined;
			const { entry } = member;
			const target = entry.linkPath.toString("latin1");
			switch (entry.type) {
				case "file":
					if (entry.dataExtents !== undefined) throw this.#unusable(name, "is a sparse file");
					return {
						path: `/proc/self/fd/${this.#fd}`,
						offset: member.payloadOffset,
						sizeBytes: member.storedSizeBytes,
					};
				case "hardlink":
					wanted = cleanName(target);
					break;
				case "symlink":
					wanted = cleanName(target.startsWith("/") ? target : `${wanted}/../${target}`);
					break;
				default:
					throw this.#unusable(name, "is not a regular file");
			}
		}
		throw this.#unusable(name, "is a link that leads in circles");
	}

	read(name: string, maxBytes: number): Buffer {
		const file = this.find(name);
		if (file === undefined)
			throw new LamellaError(
				"EARCHIVE",
				`${this.description} has no ${name}: it is truncated or was not saved whole; fetch it again`,
			);
		return readLocated(file, maxBytes, `${name} in ${this.description}`);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		fs.closeSync(this.#fd);
	}

	#unusable(name: string, why: string): LamellaError {
		return new LamellaError("EARCHIVE", `${name} in ${this.description} ${why}`);
	}
}

function listMembers(fd: number, description: string): Map<string, TarMember> {
	const members = new Map<string, TarMember>();
	try {
		for (const member of tarMembers((buffer, offset, length, position) =>
			fs.readSync(fd, buffer, offset, length, position),
		)) {
			const name = cleanName(member.entry.path.toString("latin1"));
			// What would lie outside of the directory it is unpacked to is nothing that an image refers to.
			if (name !== undefined) members.set(name, member);
			if (members.size > MAX_MEMBERS) {
				throw new LamellaError(
					"EARCHIVE",
					`${description} has more than ${MAX_MEMBERS} members: that is no image`,
				);
			}
		}
	} catch (cause) {
		if (!isLamellaError(cause, "ETAR")) throw cause;
		const beginning = members.size === 0;
		throw new LamellaError(
			beginning ? "ETAR" : "EARCHIVE",
			beginning
				? `${description} is not an image archive: it is no tar, or cut off at its beginning`
				: `${description} is damaged or truncated (${cause.message}); fetch it again`,
			{ cause },
		);
	}
	if (members.size === 0) {
		throw new LamellaError("EARCHIVE", `${description} is empty: it is not an image archive`);
	}
	return members;
}

/** `./a//b/` becomes `a/b`; undefined for the root itself and for what leads above it. */
export function cleanName(name: string): string | undefined {
	const parts: string[] = [];
	for (const part of name.split("/")) {
		if (part === "" || part === ".") continue;
		if (part !== "..") parts.push(part);
		else if (parts.pop() === undefined) return undefined;
	}
	return parts.length === 0 ? undefined : parts.join("/");
}
