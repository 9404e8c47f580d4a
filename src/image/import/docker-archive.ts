/**
 * Reads what `docker save` writes: `manifest.json` says which config and layers belong together. Layers lie at
 * `<id>/layer.tar` (a repeated one is a symlink to the first), or at `blobs/sha256/<digest>` from docker 25 on.
 * Source: moby image/spec/v1.2.md; what is checked beyond it is the digests that names promise.
 */
import { LamellaError } from "../../errors/index.ts";
import { type Digest, digestOf } from "../../layer/index.ts";
import type { ImageContent } from "../archive/content.ts";
import type { ImageId, ImageName } from "../contract.ts";
import {
	describeConfig,
	MAX_DOCUMENT_BYTES,
	parseConfig,
	parseDockerManifest,
	verifyDigest,
} from "../documents/parse.ts";
import { nameFromAnnotation } from "../records/reference.ts";
import type { PlannedImage, PlannedLayer } from "./plan.ts";

export const DOCKER_MANIFEST = "manifest.json";

/** All images of a docker-save archive. @throws EARCHIVE, EDIGEST */
export function planDockerArchive(content: ImageContent): readonly PlannedImage[] {
	const from = content.description;
	const manifest = parseDockerManifest(
		content.read(DOCKER_MANIFEST, MAX_DOCUMENT_BYTES),
		`${DOCKER_MANIFEST} in ${from}`,
	);
	return manifest.map(({ Config, RepoTags, Layers }) => {
		const readConfig = (): Buffer => content.read(Config, MAX_DOCUMENT_BYTES);
		const configBytes = readConfig();
		const promised = digestInName(Config);
		if (promised !== undefined) verifyDigest(configBytes, promised, `config ${Config}`, from);
		const config = parseConfig(configBytes, `${Config} in ${from}`);
		const diffIds = config.rootfs.diff_ids;
		if (diffIds.length !== Layers.length) {
			throw new LamellaError(
				"EARCHIVE",
				`${from} contradicts itself: ${DOCKER_MANIFEST} lists ${Layers.length} layers and ${Config} ${diffIds.length}; fetch it again`,
			);
		}
		const layers = diffIds.map((diffId, i): PlannedLayer => {
			const member = Layers[i] ?? "";
			const located = content.find(member);
			if (located === undefined) {
				throw new LamellaError(
					"EARCHIVE",
					`${from} lacks layer ${member}, which ${DOCKER_MANIFEST} lists: it is truncated or was not saved whole; fetch it again`,
				);
			}
			return {
				diffId,
				member,
				blobDigest: member.startsWith("blobs/") ? digestInName(member) : undefined,
				source: { from: "range", ...located, compression: "detect" },
			};
		});
		return {
			...describeConfig(config),
			id: digestOf<ImageId>(configBytes),
			names: (RepoTags ?? [])
				.map((tag) => nameFromAnnotation(tag, undefined))
				.filter((name): name is ImageName => name !== undefined),
			readConfig,
			layers,
		};
	});
}

/** `<64 hex>.json` and `blobs/sha256/<64 hex>` are named for their content. */
function digestInName(name: string): Digest | undefined {
	const hex = /^(?:blobs\/sha256\/([0-9a-f]{64})|([0-9a-f]{64})\.json)$/.exec(name);
	return hex === null ? undefined : (`sha256:${hex[1] ?? hex[2]}` as Digest);
}
