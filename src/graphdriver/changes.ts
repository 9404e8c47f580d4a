/** Changes as they come from a worker thread. */
import type { Change } from "../layer/index.ts";

/** A Buffer that crosses to another thread arrives as a plain Uint8Array. */
export function withBuffers(changes: readonly Change[]): readonly Change[] {
	return changes.map(({ kind, path }) => ({
		kind,
		path: Buffer.from(path.buffer, path.byteOffset, path.byteLength),
	}));
}
