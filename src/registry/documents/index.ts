/** Entry for the media types of the documents that a registry keeps beside blobs. Source: OCI image spec 1.1, media-types.md; docker manifest v2. */

export const INDEX_TYPES: ReadonlySet<string> = new Set([
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
]);
export const MANIFEST_TYPES: ReadonlySet<string> = new Set([
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json",
]);
/** Docker's first form, which has no config and no digests that can be held against anything. */
export const SCHEMA_1_TYPES: ReadonlySet<string> = new Set([
	"application/vnd.docker.distribution.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.v1+prettyjws",
]);

/** What is asked for. Schema 1 too: who has nothing else then says so, in place of "not found". */
export const ACCEPTED_MANIFESTS: string = [...INDEX_TYPES, ...MANIFEST_TYPES, ...SCHEMA_1_TYPES].join(", ");
