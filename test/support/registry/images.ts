/**
 * Images as registries have them, put together here in every form: documents and blobs as bytes, to write into an OCI layout
 * (for skopeo) or to send to a registry as they are.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { layerTars, tarOf } from "../layered-image.ts";
import { sha256 } from "../oci-layout.ts";

export interface Content {
	readonly mediaType: string;
	readonly digest: string;
	readonly bytes: Buffer;
}

export interface Platform {
	readonly architecture: string;
	readonly os: string;
	readonly variant?: string;
}

/** An image's manifest with its blobs, or an index with the manifests that it names. */
export interface RegistryImage {
	readonly document: Content;
	readonly blobs: readonly Content[];
	readonly children: readonly RegistryImage[];
	readonly platform?: Platform;
	/** Of an image: the digest of its config, which is its id. */
	readonly config: string;
}

export type Compression = "gzip" | "zstd" | "none";
export type MediaTypes = "oci" | "docker";

export interface ImageForm {
	readonly compression?: Compression;
	readonly types?: MediaTypes;
	readonly platform?: Platform;
	readonly annotations?: Readonly<Record<string, string>>;
	/** Of the config's `config`. */
	readonly config?: object;
}

export const HERE: Platform = { architecture: process.arch === "x64" ? "amd64" : process.arch, os: "linux" };

const COMPRESS = {
	gzip: (tar: Buffer) => gzipSync(tar),
	zstd: (tar: Buffer) => zstdCompressSync(tar),
	none: (tar: Buffer) => tar,
};

const OCI = "application/vnd.oci.image";
const DOCKER = "application/vnd.docker";

/** An image of these layer tars, the bottom first. */
export function imageOf(tars: readonly Buffer[], form: ImageForm = {}): RegistryImage {
	const { compression = "gzip", types = "oci", platform = HERE, annotations } = form;
	if (types === "docker" && compression === "zstd") throw new Error("docker's media types know no zstd");
	const compressed = new Map([...new Set(tars)].map((tar) => [tar, COMPRESS[compression](tar)]));
	const layers = tars.map((tar) => content(layerType(types, compression), compressed.get(tar) ?? tar));
	const config = content(types === "oci" ? `${OCI}.config.v1+json` : `${DOCKER}.container.image.v1+json`, {
		...platform,
		created: "2026-11-28T00:00:00Z",
		config: form.config ?? { Env: ["PATH=/bin"], Cmd: ["/bin/sh"] },
		rootfs: { type: "layers", diff_ids: tars.map(sha256) },
		history: tars.map((_, i) => ({ created: "2026-11-28T00:00:00Z", created_by: `layer ${i}` })),
	});
	const type = types === "oci" ? `${OCI}.manifest.v1+json` : `${DOCKER}.distribution.manifest.v2+json`;
	const document = content(type, {
		schemaVersion: 2,
		mediaType: type,
		config: descriptorOf(config),
		layers: layers.map(descriptorOf),
		...(annotations && { annotations }),
	});
	return { document, blobs: [config, ...new Set(layers)], children: [], platform, config: config.digest };
}

/** An index (or docker's manifest list) of images, each with an attestation as buildx adds them where `attested`. */
export function indexOf(
	images: readonly RegistryImage[],
	{ types = "oci", attested = false }: { types?: MediaTypes; attested?: boolean } = {},
): RegistryImage {
	const type = types === "oci" ? `${OCI}.index.v1+json` : `${DOCKER}.distribution.manifest.list.v2+json`;
	const attestations = attested ? images.map(attestationOf) : [];
	const entries = [
		...images.map(({ document, platform }) => ({ ...descriptorOf(document), platform })),
		...attestations.map(({ document }, i) => ({
			...descriptorOf(document),
			annotations: {
				"vnd.docker.reference.digest": images[i]?.document.digest,
				"vnd.docker.reference.type": "attestation-manifest",
			},
			platform: { architecture: "unknown", os: "unknown" },
		})),
	];
	const document = content(type, { schemaVersion: 2, mediaType: type, manifests: entries });
	return { document, blobs: [], children: [...images, ...attestations], config: "" };
}

/** What buildx says of how an image was made. */
function attestationOf({ document: { digest } }: RegistryImage): RegistryImage {
	const statement = content("application/vnd.in-toto+json", { _type: "statement", subject: [{ digest }] });
	const config = content(`${OCI}.config.v1+json`, {
		architecture: "unknown",
		os: "unknown",
		config: {},
		rootfs: { type: "layers", diff_ids: [statement.digest] },
	});
	const type = `${OCI}.manifest.v1+json`;
	const document = content(type, {
		schemaVersion: 2,
		mediaType: type,
		config: descriptorOf(config),
		layers: [{ ...descriptorOf(statement), annotations: { "in-toto.io/predicate-type": "test" } }],
	});
	return { document, blobs: [config, statement], children: [], config: config.digest };
}

/** Layers of a busybox root and changes of it; with `bulkBytes`, one more of a file of that size that no compressor makes smaller. */
export function tarsOf(
	layers: number,
	{ salt = "", bulkBytes = 0 }: { salt?: string; bulkBytes?: number } = {},
): Buffer[] {
	const work = mkdtempSync(path.join(tmpdir(), "lamella-layers-"));
	try {
		const tars = layers === 0 ? [] : layerTars(work, { layers, salt });
		if (bulkBytes > 0) tars.push(bulkTar(work, bulkBytes));
		return tars;
	} finally {
		rmSync(work, { recursive: true, force: true });
	}
}

function bulkTar(work: string, bytes: number): Buffer {
	const tree = path.join(work, "bulk");
	mkdirSync(tree);
	writeFileSync(path.join(tree, "bulk"), randomBytes(bytes));
	return tarOf(tree);
}

/** Writes an image as a layout, under a name that skopeo and umoci find it by. */
export function writeImageLayout(target: string, image: RegistryImage, name: string): void {
	mkdirSync(path.join(target, "blobs/sha256"), { recursive: true });
	for (const { digest, bytes } of contentsOf(image)) {
		writeFileSync(path.join(target, "blobs", digest.replace(":", "/")), bytes);
	}
	const annotations = { "org.opencontainers.image.ref.name": name };
	const manifests = [{ ...descriptorOf(image.document), annotations }];
	writeFileSync(path.join(target, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
	writeFileSync(path.join(target, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
}

/** Sends an image as it is to a registry that asks for no credentials. */
export async function publish(
	origin: string,
	repository: string,
	image: RegistryImage,
	tag?: string,
): Promise<void> {
	const base = `${origin}/v2/${repository}`;
	for (const { digest, bytes } of image.blobs) {
		const started = await fetch(`${base}/blobs/uploads/`, { method: "POST" });
		const location = new URL(started.headers.get("location") ?? "", base);
		location.searchParams.set("digest", digest);
		await expectStatus(201, await fetch(location, { method: "PUT", body: new Uint8Array(bytes) }));
	}
	for (const child of image.children) await publish(origin, repository, child);
	const { mediaType, digest, bytes } = image.document;
	const put = await fetch(`${base}/manifests/${tag ?? digest}`, {
		method: "PUT",
		headers: { "content-type": mediaType },
		body: new Uint8Array(bytes),
	});
	await expectStatus(201, put);
}

async function expectStatus(status: number, response: Response): Promise<void> {
	const text = await response.text();
	if (response.status !== status) throw new Error(`${response.url} answered ${response.status}: ${text}`);
}

function contentsOf({ document, blobs, children }: RegistryImage): readonly Content[] {
	return [document, ...blobs, ...children.flatMap(contentsOf)];
}

function content(mediaType: string, value: Buffer | object): Content {
	const bytes = Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value));
	return { mediaType, digest: sha256(bytes), bytes };
}

function descriptorOf({ mediaType, digest, bytes }: Content): object {
	return { mediaType, digest, size: bytes.length };
}

function layerType(types: MediaTypes, compression: Compression): string {
	if (types === "oci") return `${OCI}.layer.v1.tar${compression === "none" ? "" : `+${compression}`}`;
	return `${DOCKER}.image.rootfs.diff.tar${compression === "none" ? "" : `.${compression}`}`;
}

/** Makes a tag of an image's layers but the top one, which a registry without credentials has. How many layers the image has. */
export async function publishWithoutTopLayer(
	origin: string,
	repository: string,
	{ of, as }: { readonly of: string; readonly as: string },
): Promise<number> {
	const fetched = async <T>(what: string): Promise<T> => {
		const headers = { accept: `${OCI}.manifest.v1+json` };
		const found = await fetch(`${origin}/v2/${repository}/${what}`, { headers });
		return (await found.json()) as T;
	};
	type Manifest = {
		readonly mediaType?: string;
		readonly config: { readonly digest: string };
		readonly layers: object[];
	};
	const manifest = await fetched<Manifest>(`manifests/${of}`);
	type Config = { readonly rootfs: { readonly diff_ids: string[] } };
	const whole = await fetched<Config>(`blobs/${manifest.config.digest}`);
	const config = content(`${OCI}.config.v1+json`, {
		...whole,
		history: undefined,
		rootfs: { ...whole.rootfs, diff_ids: whole.rootfs.diff_ids.slice(0, -1) },
	});
	const document = content(manifest.mediaType ?? `${OCI}.manifest.v1+json`, {
		...manifest,
		config: descriptorOf(config),
		layers: manifest.layers.slice(0, -1),
	});
	const image = { document, blobs: [config], children: [], config: config.digest };
	await publish(origin, repository, image, as);
	return manifest.layers.length;
}
