/** The door for who speaks to registries; undici comes with it, so it is loaded when that is wanted. */
export { BlobStream } from "./blob-stream.ts";
export type { HttpAnswer } from "./exchange.ts";
export { type Asked, RegistryError } from "./failure.ts";
export type { RegistryManifest } from "./manifest.ts";
export { INDEX_TYPES, MANIFEST_TYPES } from "./media-types.ts";
export { RegistryClient, type RegistryClientOptions } from "./registry-client.ts";
export type { RetryPolicy } from "./retry.ts";
