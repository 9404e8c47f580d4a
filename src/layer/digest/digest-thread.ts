/** Entry of the thread that digest-aside.ts starts: digests the slots as they come, and answers with the hex. */
import { createHash } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { DIGESTED, type DigestThreadData, ENDED, LENGTHS, PUSHED } from "./digest-ring.ts";

const { control, slots } = workerData as DigestThreadData;
const words = new Int32Array(control);
const buffers = slots.map((slot) => Buffer.from(slot));
const hash = createHash("sha256");

let digested = 0;
for (;;) {
	// Read before PUSHED: what was handed over before the end is then seen.
	const ended = Atomics.load(words, ENDED) !== 0;
	const pushed = Atomics.load(words, PUSHED);
	if (pushed === digested) {
		if (ended) break;
		// Ended and woken between the two looks above: the timeout lets it look again.
		Atomics.wait(words, PUSHED, pushed, 20);
		continue;
	}
	while (digested < pushed) {
		const slot = digested % buffers.length;
		const buffer = buffers[slot] as Buffer;
		hash.update(buffer.subarray(0, Atomics.load(words, LENGTHS + slot)));
		digested += 1;
		Atomics.store(words, DIGESTED, digested);
		Atomics.notify(words, DIGESTED);
	}
}
parentPort?.postMessage(hash.digest("hex"));
