/** Digests of layers as the OCI image spec names them ("Layer DiffID", "Layer ChainID"). */
import { createHash } from "node:crypto";

/** `sha256:` and 64 hex digits of any content. */
export type Digest = string & { readonly __digest: true };
/** Digest of a layer's uncompressed tar. */
export type DiffId = Digest & { readonly __diffId: true };
/** Digest over the diffIDs of a chain: identifies a stack of layers. */
export type ChainId = Digest & { readonly __chainId: true };

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
