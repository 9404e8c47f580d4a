/**
 * Brings an image from a registry into the store. Its digest comes first, by one HEAD: what is here under it is not fetched again.
 * Then come the index, the manifest for the platform and the config, and then the layers that are missing, each from the socket
 * into the store. What comes in is held against removals, and undone on failure, as an import is.
 */
import { LamellaError } from "../../errors/index.ts";
import type { Digest } from "../../layer/index.ts";
import { INDEX_TYPES } from "../../registry/documents/index.ts";
import type { RegistryClient, RegistryManifest } from "../../registry/index.ts";
import {
	familiarRepository,
	formatReference,
	type RegistryReference,
} from "../../registry/reference/index.ts";
import type { LayerStore } from "../../store/index.ts";
import type { ImageInfo, ImageName, ImageOperationOptions, PulledImage, RepoDigest } from "../contract.ts";
import { type Descriptor, MAX_DOCUMENT_BYTES, verifyDigest } from "../documents/parse.ts";
import { importPlanned } from "../import/import-image.ts";
import { MAX_INDEX_DEPTH, parseImageManifest, planImage } from "../import/plan-manifest.ts";
import {
	fittingPlatform,
	hostPlatform,
	parsePlatform,
	platformText,
	type WantedPlatform,
} from "../import/platform.ts";
import { imageOf, saveImage } from "../records/catalog.ts";
import { chooseForPlatform } from "./choose-platform.ts";
import { findPulled } from "./find-pulled.ts";
import { remoteLayer } from "./remote-layer.ts";

export interface PullImageOptions extends ImageOperationOptions {
	/** `linux/arm64`; default this machine's. */
	readonly platform?: string | undefined;
}

/** @throws {LamellaError} what the client, the documents' readers and an import throw; `EPLATFORM` */
export async function pullImage(
	store: LayerStore,
	client: RegistryClient,
	reference: RegistryReference,
	options: PullImageOptions,
): Promise<PulledImage> {
	return await new Pull(store, client, reference, options).run();
}

class Pull {
	readonly #store: LayerStore;
	readonly #client: RegistryClient;
	readonly #reference: RegistryReference;
	readonly #options: PullImageOptions;
	/** Undefined where nobody named one. */
	readonly #wanted: WantedPlatform | undefined;
	readonly #platform: string;
	/** What the image is called here: nothing where it is pulled by its digest. */
	readonly #names: readonly ImageName[];
	readonly #repository: string;

	constructor(
		store: LayerStore,
		client: RegistryClient,
		reference: RegistryReference,
		options: PullImageOptions,
	) {
		this.#store = store;
		this.#client = client;
		this.#reference = reference;
		this.#options = options;
		this.#wanted = options.platform === undefined ? undefined : parsePlatform(options.platform);
		this.#platform = platformText(this.#wanted ?? hostPlatform());
		this.#names = reference.digest === undefined ? [formatReference(reference) as ImageName] : [];
		this.#repository = familiarRepository(reference);
	}

	async run(): Promise<PulledImage> {
		const { signal } = this.#options;
		const resolved = await this.#client.resolve(this.#reference, { signal });
		const digest = resolved.digest as Digest;
		const here = await this.#takeHere(digest, undefined);
		if (here !== undefined) return { ...here, digest, isNew: false, warnings: [] };
		let document = resolved.manifest ?? (await this.#client.manifest(this.#reference, digest, { signal }));
		const isIndex = document.kind === "index";
		for (let depth = 0; document.kind === "index"; depth++) {
			if (depth === MAX_INDEX_DEPTH) throw this.#tooDeep(document);
			const chosen = chooseForPlatform(document, this.#reference, this.#wanted);
			if (!INDEX_TYPES.has(chosen.mediaType)) {
				const known = await this.#takeHere(chosen.digest, {
					...this.#found(digest),
					platform: this.#platform,
				});
				if (known !== undefined) return { ...known, digest, isNew: false, warnings: [] };
			}
			document = await this.#client.manifest(this.#reference, chosen.digest, { signal });
		}
		const repoDigest = isIndex ? { ...this.#found(digest), platform: this.#platform } : this.#found(digest);
		return await this.#bring(document, repoDigest);
	}

	#found(digest: Digest): RepoDigest {
		return { repository: this.#repository, digest };
	}

	/** Gives an image that is here under this digest the name that it is pulled by. */
	async #takeHere(digest: Digest, repoDigest: RepoDigest | undefined): Promise<ImageInfo | undefined> {
		if (findPulled(this.#store, digest, this.#platform) === undefined) return undefined;
		return await this.#store.transaction((transaction) => {
			const image = findPulled(transaction, digest, this.#platform);
			// Removed meanwhile: then it is pulled.
			if (image === undefined) return undefined;
			const before = image.repoDigests?.find((one) => one.digest === digest);
			const found = repoDigest ?? { ...before, ...this.#found(digest) };
			return saveImage(transaction, { ...image, repoDigests: [found] }, this.#names);
		});
	}

	async #bring(document: RegistryManifest, repoDigest: RepoDigest): Promise<PulledImage> {
		const { bytes, host } = document;
		const digest = document.digest as Digest;
		const from = formatReference(this.#reference);
		const manifest = parseImageManifest(bytes, `manifest ${digest} of ${this.#repository} from ${host}`);
		const configBytes = await this.#readConfig(manifest.config);
		const planned = planImage(manifest, {
			from: `${this.#repository} from ${host}`,
			digest,
			readManifest: () => bytes,
			readConfig: () => configBytes,
			locate: (layer) => remoteLayer(this.#client, this.#reference, layer),
		});
		const { os, architecture } = planned;
		if (this.#wanted !== undefined && repoDigest.platform === undefined)
			this.#refuseOther({ os, architecture }, host);
		const image = { ...planned, repoDigests: [repoDigest] };
		const isNew = imageOf(this.#store, image.id) === undefined;
		const { signal, onProgress } = this.#options;
		const made = await importPlanned(this.#store, image, this.#names, {
			operation: "pull",
			from,
			signal,
			onProgress,
		});
		return { ...made, digest: repoDigest.digest, isNew };
	}

	#tooDeep({ digest, host }: RegistryManifest): LamellaError {
		return new LamellaError(
			"EARCHIVE",
			`index ${digest} of ${this.#repository} from ${host} is within indexes within indexes, more than ${MAX_INDEX_DEPTH} deep; no image needs that`,
		);
	}

	/** The image is for one platform alone, and another platform was asked for. */
	#refuseOther(platform: WantedPlatform, host: string): void {
		const descriptor = { mediaType: "", digest: "" as Digest, size: 0, platform };
		if (fittingPlatform([descriptor], this.#wanted).length > 0) return;
		throw new LamellaError(
			"EPLATFORM",
			`${host} has ${formatReference(this.#reference)} for ${platformText(platform)} only, and ${this.#platform} was asked for; ` +
				"leave --platform out to take it",
		);
	}

	async #readConfig(descriptor: Descriptor): Promise<Buffer> {
		const { digest, size } = descriptor;
		const what = `config ${digest}`;
		if (size > MAX_DOCUMENT_BYTES) {
			throw new LamellaError(
				"EARCHIVE",
				`${what} of ${this.#repository} has ${size} bytes; no more than ${MAX_DOCUMENT_BYTES} are read for such a document`,
			);
		}
		const avoid = new Set<string>();
		for (;;) {
			const stream = await this.#client.openBlob(
				this.#reference,
				{ digest, size },
				{ signal: this.#options.signal, avoid },
			);
			const chunks: Uint8Array[] = [];
			for await (const chunk of stream) chunks.push(chunk as Uint8Array);
			const bytes = Buffer.concat(chunks);
			try {
				verifyDigest(bytes, digest, "config", `${this.#repository} from ${[...stream.servedBy].join(", ")}`);
				return bytes;
			} catch (error) {
				// A mirror may have it wrong, or a proxy once.
				if ([...stream.servedBy].every((origin) => avoid.has(origin))) throw error;
				for (const origin of stream.servedBy) avoid.add(origin);
			}
		}
	}
}
