/** Digests of layers as the OCI image spec names them ("Layer DiffID", "Layer ChainID"). */
import { createHash } from "node:crypto";
import { LamellaError } from "../errors/index.ts";

/** `sha256:` and 64 hex digits of any content. */
export type Digest = string & { readonly __digest: true };
/** Digest of a layer's uncompressed tar. */
export type DiffId = Digest & { readonly __diffId: true };
/** Digest over the diffIDs of a chain: identifies a stack of layers. */
export type ChainId = Digest & { readonly __chainId: true };

const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** @throws {LamellaError} `EDIGEST` where `text` is not a sha256 digest. */
export function parseDigest<T extends Digest = Digest>(text: string): T {
	if (!DIGEST.test(text)) {
		throw new LamellaError("EDIGEST", `"${text}" is not a digest of the form sha256:<64 hex digits>`);
	}
	return text as T;
}

/** The sha256 digest of some bytes. */
export function digestOf<T extends Digest = Digest>(bytes: Uint8Array | string): T {
	return `sha256:${createHash("sha256").update(bytes).digest("hex")}` as T;
}

/**
 * ChainID of a layer over `parent`: the diffID itself at the bottom, else sha256(parent + " " + diffID).
 * Source: OCI image spec, config.md, "Layer ChainID".
 */
export function chainId(parent: ChainId | undefined, diffId: DiffId): ChainId {
	return parent === undefined ? (diffId as Digest as ChainId) : digestOf<ChainId>(`${parent} ${diffId}`);
}
