/**
 * Worker threads for bulk file work. Knows nothing of layers: a pool is made for a *job module*, a module that
 * exports `jobs`, a record of functions `(request, context) => result | Promise<result>`.
 */

/** Job name → the shapes of its request and result (plain data that structured clone takes). */
export type JobTable = { readonly [name: string]: { request: unknown; result: unknown } };

export interface JobContext {
	/** Throws LamellaError EABORTED once the caller's AbortSignal has fired. Cheap: call it often. */
	checkAborted(): void;
	/** Reports bytes done; rate-limited by the context, so call it as often as is easy. */
	progress(doneBytes: number): void;
}

export type JobFunctions<T extends { [K in keyof T]: { request: unknown; result: unknown } }> = {
	readonly [K in keyof T]: (
		request: T[K]["request"],
		context: JobContext,
	) => T[K]["result"] | Promise<T[K]["result"]>;
};

export interface RunOptions {
	readonly signal?: AbortSignal | undefined;
	readonly onProgress?: ((doneBytes: number) => void) | undefined;
}
