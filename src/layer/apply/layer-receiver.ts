/** What the apply job gives a layer to: it makes a tree of it (apply.ts), or keeps it as it is (../packed/). */
import type { TarHandler } from "../../tar/index.ts";
import type { Usage, Warning } from "../contract.ts";
import type { DiffId } from "../digest/digest.ts";

/** See ApplyResult. */
export interface Applied {
	readonly usage: Usage;
	readonly contentSizeBytes: number;
	readonly entries: number;
	readonly warnings: readonly Warning[];
}

export interface ReceivedTar {
	readonly diffId: DiffId;
	readonly tarSizeBytes: number;
}

export interface LayerReceiver extends TarHandler, Disposable {
	/** A part of the tar as it is, right after its entries were told; good until this returns. */
	bytes?(chunk: Uint8Array): void;
	/** To be called once, after the tar's end. */
	finish(tar: ReceivedTar): Applied;
}
