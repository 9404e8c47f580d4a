/** Where a layer tar goes: a descriptor, and on the way there its length and digest. */
import { createHash } from "node:crypto";
import type { JobContext } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import type { DiffId } from "../digest/digest.ts";

export class TarOutput {
	sizeBytes = 0;
	readonly #fd: number;
	readonly #context: JobContext;
	readonly #hash = createHash("sha256");

	constructor(fd: number, context: JobContext) {
		this.#fd = fd;
		this.#context = context;
	}

	/** @throws {SystemError} */
	write(bytes: Uint8Array): void {
		this.#hash.update(bytes);
		linux.write(this.#fd, bytes);
		this.sizeBytes += bytes.length;
		this.#context.progress(this.sizeBytes);
	}

	/** To be called once, at the end. */
	diffId(): DiffId {
		return `sha256:${this.#hash.digest("hex")}` as DiffId;
	}
}
