/**
 * A SHA-256 digest that is made in a thread of its own, while the bytes are worked on in this one: for layers so large
 * that the import would wait for a single core.
 *
 * The bytes pass through a ring of slots in shared memory (digest-ring.ts), so that nothing is copied. The caller fills
 * a slot, hands it over with `push`, and may go on reading it until it asks for the next one to fill.
 */
import { Worker } from "node:worker_threads";
import { LamellaError } from "../../errors/index.ts";
import type { JobContext } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import { DIGESTED, type DigestThreadData, ENDED, LENGTHS, PUSHED } from "./digest-ring.ts";

const SLOTS = 4;
const POLL_MS = 50;

export class DigestAside implements Disposable {
	readonly #control = new SharedArrayBuffer((LENGTHS + SLOTS) * Int32Array.BYTES_PER_ELEMENT);
	readonly #words = new Int32Array(this.#control);
	readonly #slots: readonly Buffer[];
	readonly #worker: Worker;
	readonly #digest: Promise<string>;
	#pushed = 0;
	#failure: Error | undefined;

	constructor(slotSizeBytes: number) {
		const slots = Array.from({ length: SLOTS }, () => new SharedArrayBuffer(slotSizeBytes));
		this.#slots = slots.map((slot) => Buffer.from(slot));
		const workerData: DigestThreadData = { control: this.#control, slots };
		const worker = new Worker(linux.distFile(import.meta.url, "layer/digest/digest-thread.js"), {
			workerData,
			execArgv: [],
		});
		this.#worker = worker;
		this.#digest = new Promise((resolve, reject) => {
			worker.once("message", resolve);
			const fail = (why: unknown): void => {
				this.#failure ??= new LamellaError(
					"ESYSTEM",
					"the thread that makes a layer's digest has died; try again",
					{
						cause: why,
					},
				);
				reject(this.#failure);
			};
			worker.once("error", fail);
			worker.once("exit", (code) => fail(new Error(`it ended with code ${code}`)));
		});
		// Who asks for the digest gets the error.
		this.#digest.catch(() => {});
	}

	/** The next slot to fill, once the thread is done with what it held. @throws {LamellaError} `EABORTED`, `ESYSTEM` */
	async nextSlot(context: JobContext): Promise<Buffer> {
		for (;;) {
			const digested = Atomics.load(this.#words, DIGESTED);
			if (this.#pushed - digested < SLOTS) return this.#slots[this.#pushed % SLOTS] as Buffer;
			if (Atomics.wait(this.#words, DIGESTED, digested, POLL_MS) !== "timed-out") continue;
			context.checkAborted();
			// A thread that died is heard of only in the event loop.
			await new Promise((resolve) => setImmediate(resolve));
			if (this.#failure !== undefined) throw this.#failure;
		}
	}

	/** Hands over the first `length` bytes of the slot that `nextSlot` gave. */
	push(length: number): void {
		Atomics.store(this.#words, LENGTHS + (this.#pushed % SLOTS), length);
		this.#pushed += 1;
		Atomics.store(this.#words, PUSHED, this.#pushed);
		Atomics.notify(this.#words, PUSHED);
	}

	/** Digest of all that was pushed, in hex. @throws {LamellaError} `ESYSTEM` */
	async finish(): Promise<string> {
		Atomics.store(this.#words, ENDED, 1);
		Atomics.notify(this.#words, PUSHED);
		return await this.#digest;
	}

	[Symbol.dispose](): void {
		void this.#worker.terminate();
	}
}
