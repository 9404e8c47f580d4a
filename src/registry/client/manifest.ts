/** A manifest or index as a registry gave it: its bytes, held against the digest, and what kind of document it is. */
import { createHash } from "node:crypto";
import { INDEX_TYPES, MANIFEST_TYPES, SCHEMA_1_TYPES } from "../documents/index.ts";
import { type HttpAnswer, header } from "./exchange.ts";
import { type Asked, fieldOf, quotedText, RegistryError, wrongAnswer } from "./failure.ts";
import { readBody } from "./read-body.ts";

/** As the distribution spec has it: registries take no larger ones. */
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
		// Another algorithm is none of its fault: the digest is then made here.
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
	if (expected !== undefined && digest !== expected)
		throw wrongAnswer(
			host,
			asked,
			`what came has the digest ${digest}, and ${expected} was asked for`,
			"EDIGEST",
		);
	if (expected === undefined && said !== undefined && said !== digest)
		throw wrongAnswer(
			host,
			asked,
			`what came has the digest ${digest}, and its header says ${said}`,
			"EDIGEST",
		);
	if (SCHEMA_1_TYPES.has(contentType ?? "")) throw schema1(host, asked);
	// Only now: of bytes that are not those that were asked for, nothing else is worth saying.
	const mediaType = documentType(bytes, contentType, host, asked);
	return { bytes, digest, mediaType, kind: INDEX_TYPES.has(mediaType) ? "index" : "manifest", host };
}

/**
 * By the header, which the document must not gainsay: a document that is an index to one reader and a manifest to another would be
 * two images of one digest (CVE-2021-41190).
 */
function documentType(bytes: Buffer, contentType: string | undefined, host: string, asked: Asked): string {
	let document: unknown;
	try {
		document = JSON.parse(bytes.toString("utf8"));
	} catch {
		const type = contentType === undefined ? "" : ` (its type is ${quotedText(contentType)})`;
		throw wrongAnswer(host, asked, `it is not JSON${type}`);
	}
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
		throw wrongAnswer(host, asked, `its type is ${quotedText(contentType)}, which is that of no manifest`);
	if (isIndex === isManifest || isIndex !== INDEX_TYPES.has(type))
		throw wrongAnswer(
			host,
			asked,
			"what came is neither an image's manifest nor an index, but JSON of another form",
		);
	return type;
}

function schema1(host: string, { what, repository }: Asked): RegistryError {
	return new RegistryError(
		"ENOTSUPPORTED",
		`${host} has ${what} of ${repository} in docker's schema 1 only, which is not read; push it anew with a docker of this decade`,
		{ host },
	);
}
