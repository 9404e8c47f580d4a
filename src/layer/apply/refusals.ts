/**
 * What a layer is refused for where its entries do not fit together, in the same words whatever form the layer is to be
 * kept in. Paths are latin1 text.
 */
import { LamellaError } from "../../errors/index.ts";
import { forPeople } from "./entry-path.ts";

/** Symbolic links that one path may go through. */
export const SYMLINKS_MAX = 255;

export function tooManySymlinks(path: string): LamellaError {
	const where = forPeople(path);
	return new LamellaError(
		"EUNSAFE",
		`"${where}" goes through more than ${SYMLINKS_MAX} symbolic links; they may lead in a circle`,
		{ path: where },
	);
}

export function whiteoutDirectory(path: string): LamellaError {
	const where = forPeople(path);
	return new LamellaError(
		"EUNSAFE",
		`"${where}" would be a directory, but in a layer a name that begins with ".wh." means a deletion`,
		{ path: where },
	);
}

export function belowFile(path: string): LamellaError {
	const where = forPeople(path);
	return new LamellaError("ETAR", `"${where}" is a file in the layer, and a later entry lies below it`, {
		path: where,
	});
}

export function linksToDirectory(link: string, target: string): LamellaError {
	const where = forPeople(link);
	return new LamellaError(
		"ETAR",
		`"${where}" is a hard link to the directory "${forPeople(target)}", and Linux has no such links`,
		{ path: where },
	);
}

export function linksBelowItself(link: string, target: string): LamellaError {
	const where = forPeople(link);
	return new LamellaError(
		"ETAR",
		`"${where}" is a hard link to "${forPeople(target)}", which lies below it and would go with the directory that the link replaces`,
		{ path: where },
	);
}

/** A hard link at whose target there is nothing, so far: tells which of two mistakes the layer has made. */
export class DanglingLink extends Error {
	override readonly name = "DanglingLink";
	readonly link: string;
	readonly target: string;

	constructor(link: string, target: string) {
		super(`${link} links to ${target}`);
		this.link = link;
		this.target = target;
	}

	comesLater(): LamellaError {
		return this.#because("which comes later in the tar; the file has to come first");
	}

	isNowhere(): LamellaError {
		return this.#because(
			"which neither the layer nor its parents have; is it applied over the right parent?",
		);
	}

	#because(why: string): LamellaError {
		const path = forPeople(this.link);
		return new LamellaError("ETAR", `"${path}" is a hard link to "${forPeople(this.target)}", ${why}`, {
			path,
		});
	}
}
