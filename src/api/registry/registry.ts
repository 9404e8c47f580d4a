/** Registries, asked and not taken from: what an image is there, which tags a repository has. No store is needed for it. */
import { LamellaError } from "../../errors/index.ts";
import type { RegistryAccess } from "../../image/index.ts";
import type { RegistryImage } from "../../image/pull/index.ts";
import { parseReference, parseRepository } from "../../registry/reference/index.ts";

export interface RegistryOptions extends RegistryAccess {
	readonly signal?: AbortSignal | undefined;
}

export interface ManifestOptions {
	/** The manifest for this platform, in place of an index. */
	readonly platform?: string | undefined;
}

/**
 * Made by `openRegistry` or `store.registry`. Each call has connections of its own, so there is nothing to close.
 *
 * @example
 * ```ts
 * const registry = openRegistry();
 * const { digest, mediaType } = await registry.manifest("debian:12");
 * const tags = await registry.tags("ghcr.io/group/app");
 * ```
 */
export class Registry {
	readonly #options: RegistryOptions;

	/** @internal Use `openRegistry`. */
	constructor(options: RegistryOptions) {
		this.#options = options;
	}

	/**
	 * What the registry has under a reference: an index, or a manifest.
	 * @throws {LamellaError} `EINVALID`, `ENOTFOUND`, `EUNAUTHORIZED`, `EDENIED`, `ERATELIMIT`, `ENETWORK`, `EREGISTRY`, `EPLATFORM`
	 */
	async manifest(reference: string, { platform }: ManifestOptions = {}): Promise<RegistryImage> {
		const parsed = parseReference(reference);
		this.#refuseAborted();
		const { openRegistryClient, readRegistryImage } = await import("../../image/pull/index.ts");
		await using client = openRegistryClient(parsed.registry, this.#options);
		return await readRegistryImage(client, parsed, { platform, signal: this.#options.signal });
	}

	/** The tags of a repository, in the registry's order. @throws as `manifest` */
	async tags(repository: string): Promise<readonly string[]> {
		const parsed = parseRepository(repository);
		this.#refuseAborted();
		const { openRegistryClient } = await import("../../image/pull/index.ts");
		await using client = openRegistryClient(parsed.registry, this.#options);
		return await client.tags(parsed, { signal: this.#options.signal });
	}

	#refuseAborted(): void {
		const { signal } = this.#options;
		if (signal?.aborted === true)
			throw new LamellaError("EABORTED", "asking the registry was cancelled", { cause: signal.reason });
	}
}

/** Asks nothing yet. */
export function openRegistry(options: RegistryOptions = {}): Registry {
	return new Registry(options);
}
