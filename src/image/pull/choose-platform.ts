/** The entry of an index that is for a platform. */
import { LamellaError } from "../../errors/index.ts";
import type { RegistryManifest } from "../../registry/index.ts";
import {
	familiarRepository,
	formatReference,
	type RegistryReference,
} from "../../registry/reference/index.ts";
import { type Descriptor, parseIndex } from "../documents/parse.ts";
import {
	fittingPlatform,
	hostPlatform,
	offeredPlatforms,
	platformText,
	type WantedPlatform,
} from "../import/platform.ts";

/**
 * `wanted`: undefined where nobody named one.
 * @throws {LamellaError} `EPLATFORM`, which lists those that there are; `EARCHIVE`
 */
export function chooseForPlatform(
	{ bytes, digest, host }: RegistryManifest,
	reference: RegistryReference,
	wanted: WantedPlatform | undefined,
): Descriptor {
	const { manifests } = parseIndex(bytes, `index ${digest} of ${familiarRepository(reference)} from ${host}`);
	const [chosen] = fittingPlatform(manifests, wanted);
	if (chosen !== undefined) return chosen;
	throw new LamellaError(
		"EPLATFORM",
		`${host} has no ${formatReference(reference)} for ${platformText(wanted ?? hostPlatform())}; ` +
			`it offers ${offeredPlatforms(manifests)}; take one of them with --platform`,
	);
}
