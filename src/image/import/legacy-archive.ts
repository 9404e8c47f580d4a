/**
 * Reads archives from before docker 1.10, which have `repositories` and no `manifest.json`: each layer is its own
 * image, `<id>/json` with a parent and `<id>/layer.tar`. A config is made of them as docker's own migration made it.
 * Source: moby image/spec/v1.md, and the rules of its v1 → v1.2 migration.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import { LamellaError } from "../../errors/index.ts";
import { type DiffId, type Digest, digestOf } from "../../layer/index.ts";
import type { ImageContent, Located } from "../archive/content.ts";
import type { ImageId, ImageName } from "../contract.ts";
import { jsonBytes, parseJson } from "../documents/json.ts";
import {
	describeConfig,
	type LegacyImageDocument,
	MAX_DOCUMENT_BYTES,
	parseConfig,
	parseLegacyImage,
	parseRepositories,
} from "../documents/parse.ts";
import { nameFromAnnotation } from "../records/reference.ts";
import type { PlannedImage, PlannedLayer } from "./plan.ts";

export const LEGACY_REPOSITORIES = "repositories";

const LEGACY_ID = /^[0-9a-f]{64}$/;
const MAX_CHAIN = 1000;
/** What is said of a layer in v1 and has no place in a config. */
const DROPPED = ["id", "parent", "Size", "parent_id", "layer_id", "throwaway"];

interface LegacyLayer {
	readonly json: LegacyImageDocument;
	readonly bytes: Buffer;
	readonly member: string;
	readonly located: Located;
	readonly diffId: DiffId;
}

/** All images that `repositories` names. Reads every layer once, for nothing else tells its diffID. @throws EARCHIVE */
export async function planLegacyArchive(
	content: ImageContent,
	signal: AbortSignal | undefined,
): Promise<readonly PlannedImage[]> {
	const from = content.description;
	const repositories = parseRepositories(
		content.read(LEGACY_REPOSITORIES, MAX_DOCUMENT_BYTES),
		`${LEGACY_REPOSITORIES} in ${from}`,
	);
	const layers = new Map<string, LegacyLayer>();
	const images = new Map<ImageId, PlannedImage>();
	for (const [repository, tags] of Object.entries(repositories)) {
		for (const [tag, top] of Object.entries(tags)) {
			const chain = await readChain(content, top, layers, signal);
			const image = planChain(chain, from);
			const name = nameFromAnnotation(`${repository}:${tag}`, undefined);
			const names: ImageName[] = [
				...(images.get(image.id)?.names ?? []),
				...(name === undefined ? [] : [name]),
			];
			images.set(image.id, { ...image, names });
		}
	}
	return [...images.values()];
}

/** Bottom first. */
async function readChain(
	content: ImageContent,
	top: string,
	layers: Map<string, LegacyLayer>,
	signal: AbortSignal | undefined,
): Promise<readonly LegacyLayer[]> {
	const chain: LegacyLayer[] = [];
	let id: string | undefined = top;
	while (id !== undefined && id !== "") {
		if (!LEGACY_ID.test(id)) {
			throw new LamellaError(
				"EARCHIVE",
				`${content.description} names a layer ${JSON.stringify(id)}, which is no id; fetch it again`,
			);
		}
		if (chain.length === MAX_CHAIN) {
			throw new LamellaError(
				"EARCHIVE",
				`${content.description} has more than ${MAX_CHAIN} layers over one another, or they go in circles; fetch it again`,
			);
		}
		const layer: LegacyLayer = layers.get(id) ?? (await readLayer(content, id, signal));
		layers.set(id, layer);
		chain.unshift(layer);
		id = layer.json.parent;
	}
	return chain;
}

async function readLayer(
	content: ImageContent,
	id: string,
	signal: AbortSignal | undefined,
): Promise<LegacyLayer> {
	const bytes = content.read(`${id}/json`, MAX_DOCUMENT_BYTES);
	const member = `${id}/layer.tar`;
	const located = content.find(member);
	if (located === undefined)
		throw new LamellaError(
			"EARCHIVE",
			`${content.description} has no ${member}: it is truncated or was not saved whole; fetch it again`,
		);
	const json = parseLegacyImage(bytes, `${id}/json in ${content.description}`);
	return { json, bytes, member, located, diffId: await hashLocated(located, signal) };
}

function planChain(chain: readonly LegacyLayer[], from: string): PlannedImage {
	const top = chain.at(-1);
	if (top === undefined) throw new LamellaError("EARCHIVE", `${from} names an image without layers`);
	const kept = chain.filter(({ json }) => json.throwaway !== true);
	const config: Record<string, unknown> = {
		...(parseJson(top.bytes, `${top.member} in ${from}`) as Record<string, unknown>),
		rootfs: { type: "layers", diff_ids: kept.map(({ diffId }) => diffId) },
		history: chain.map(({ json }) => ({
			created: json.created ?? undefined,
			author: json.author,
			created_by: json.container_config?.Cmd?.join(" "),
			comment: json.comment,
			empty_layer: json.throwaway === true ? true : undefined,
		})),
	};
	for (const key of DROPPED) delete config[key];
	// Keys in order, as Go writes them: the same archive then gives the same id as docker's migration.
	const ordered = Object.fromEntries(Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1)));
	const configBytes = jsonBytes(ordered);
	return {
		...describeConfig(parseConfig(configBytes, `the config made of ${from}`)),
		id: digestOf<ImageId>(configBytes),
		names: [],
		readConfig: () => configBytes,
		layers: kept.map(
			({ diffId, member, located }): PlannedLayer => ({
				diffId,
				member,
				source: { from: "range", ...located, compression: "none" },
			}),
		),
	};
}

async function hashLocated(located: Located, signal: AbortSignal | undefined): Promise<DiffId> {
	const hash = createHash("sha256");
	if (located.sizeBytes > 0) {
		const stream = fs.createReadStream(located.path, {
			start: located.offset,
			end: located.offset + located.sizeBytes - 1,
			highWaterMark: 1 << 20,
			...(signal === undefined ? {} : { signal }),
		});
		for await (const chunk of stream) hash.update(chunk as Buffer);
	}
	return `sha256:${hash.digest("hex")}` as Digest as DiffId;
}
