/** The registry that a person means by a word of `login` and `logout`. */
import { LamellaError } from "../errors/index.ts";
import { parseReference } from "../registry/reference/index.ts";

/** `https://ghcr.io/` is taken as `ghcr.io`. @throws {LamellaError} `EINVALID` */
export function parseRegistryName(word: string): string {
	const host = word.replace(/^https?:\/\//, "").replace(/\/(v[12]\/?)?$/, "");
	try {
		const { registry, repository } = parseReference(`${host}/name`);
		if (repository === "name") return registry;
	} catch {
		// It is told below.
	}
	throw new LamellaError(
		"EINVALID",
		`${JSON.stringify(word)} is not a registry; registries look like docker.io, ghcr.io or registry.example:5000`,
	);
}
