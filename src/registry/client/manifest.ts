/** A manifest or index as a registry gave it: its bytes, held against the digest, and what kind of document it is. */
import { createHash } from "node:crypto";
import { INDEX_TYPES, MANIFEST_TYPES, SCHEMA_1_TYPES } from "../documents/index.ts";
import { type HttpAnswer, header } from "./exchange.ts";
import { type Asked, fieldOf, quotedText, RegistryError, wrongAnswer } from "./failure.ts";
import { readBody } from "./read-body.ts";

/** By the distribution spec, registries take no larger ones. */
export const MAX_MANIFEST_BYTES: number = 4 << 20;

export interface RegistryManifest {
	readonly bytes: Buffer;
	readonly digest: string;
	readonly mediaType: string;
	readonly kind: "index" | "manifest";
	/** `host[:port]` that gave it. */
	readonly host: string;
}

const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** The digest that an answer says it has; undefined where it says none that can be used. @throws {RegistryError} `EREGISTRY` */
export function saidDigest(answer: Pick<HttpAnswer, "headers" | "host">, asked: Asked): string | undefined {
	const said = header(answer, "docker-content-digest");
	if (said === undefined) return undefined;
	if (!DIGEST.test(said)) {
		// A digest of another algorithm is no fault; the sha256 is then made here.
		if (/^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/.test(said) && !said.startsWith("sha256:"))
			return undefined;
		throw wrongAnswer(
			answer.host,
			asked,
			`its Docker-Content-Digest is ${quotedText(said)}, which is no digest`,
		);
	}
	return said;
}

/**
 * @param expected the digest that it was asked for by
 * @throws {RegistryError} `EDIGEST`, `EREGISTRY`, `ENETWORK`; `ENOTSUPPORTED` for schema 1
 */
export async function readManifest(
	answer: HttpAnswer,
	expected: string | undefined,
	asked: Asked,
): Promise<RegistryManifest> {
	const { host } = answer;
	const contentType = header(answer, "content-type")?.split(";")[0]?.trim().toLowerCase();
	const said = saidDigest(answer, asked);
	const bytes = await readBody(answer, MAX_MANIFEST_BYTES, asked);
	const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
	const wanted = expected ?? said;
	if (wanted !== undefined && digest !== wanted) {
		const by = expected === undefined ? `its header says ${wanted}` : `${wanted} was asked for`;
		const why = `what came has the digest ${digest}, and ${by}${notJson(bytes, contentType)}`;
		throw wrongAnswer(host, asked, why, "EDIGEST");
	}
	if (SCHEMA_1_TYPES.has(contentType ?? "")) throw schema1(host, asked);
	const mediaType = documentType(bytes, contentType, host, asked);
	return { bytes, digest, mediaType, kind: INDEX_TYPES.has(mediaType) ? "index" : "manifest", host };
}

/**
 * By the header, which the document must not contradict: a document that is an index to one reader and a manifest to another would be
 * two images of one digest (CVE-2021-41190).
 */
function documentType(bytes: Buffer, contentType: string | undefined, host: string, asked: Asked): string {
	const document = parsed(bytes);
	if (document === undefined) throw wrongAnswer(host, asked, `it is not JSON${typeSaid(contentType)}`);
	if (fieldOf(document, "schemaVersion") === 1) throw schema1(host, asked);
	const known = (type: unknown): type is string =>
		typeof type === "string" && (INDEX_TYPES.has(type) || MANIFEST_TYPES.has(type));
	const own = fieldOf(document, "mediaType");
	const isIndex = Array.isArray(fieldOf(document, "manifests"));
	const isManifest = Array.isArray(fieldOf(document, "layers")) || fieldOf(document, "config") !== undefined;
	const byForm = isIndex
		? "application/vnd.oci.image.index.v1+json"
		: "application/vnd.oci.image.manifest.v1+json";
	if (known(contentType) && known(own) && contentType !== own)
		throw wrongAnswer(host, asked, `its type is ${contentType} in the header and ${own} in the document`);
	// Old registries give the plain type of JSON, or of text.
	const isVague =
		contentType === undefined || /^(application\/(json|octet-stream)|text\/plain)$/.test(contentType);
	const type = known(contentType) ? contentType : known(own) ? own : byForm;
	if (!known(contentType) && !isVague)
		throw wrongAnswer(host, asked, `its type is ${quotedText(contentType)}, which no manifest has`);
	if (isIndex === isManifest || isIndex !== INDEX_TYPES.has(type))
		throw wrongAnswer(
			host,
			asked,
			"what came is neither an image's manifest nor an index, but JSON of another form",
		);
	return type;
}

/** A page in place of the document, such as a proxy's, has another digest, too. */
function notJson(bytes: Buffer, contentType: string | undefined): string {
	return parsed(bytes) === undefined ? `; it is not JSON${typeSaid(contentType)}` : "";
}

function typeSaid(contentType: string | undefined): string {
	return contentType === undefined ? "" : ` (its type is ${quotedText(contentType)})`;
}

/** Undefined where it is not JSON. */
function parsed(bytes: Buffer): unknown {
	try {
		return JSON.parse(bytes.toString("utf8"));
	} catch {
		return undefined;
	}
}

function schema1(host: string, { what, repository }: Asked): RegistryError {
	return new RegistryError(
		"ENOTSUPPORTED",
		`${host} has ${what} of ${repository} in docker's schema 1 only, which lamella does not read; push it again with a newer docker`,
		{ host },
	);
}
