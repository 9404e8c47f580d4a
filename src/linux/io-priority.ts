/**
 * Owns the calling thread's place in the disk's queue, for work that nobody waits for.
 * Source: ioprio_set(2).
 */
import { check } from "./errno.ts";
import { native } from "./native.ts";

const IOPRIO_WHO_PROCESS = 1;
const CLASS_SHIFT = 13;
const CLASS_NONE = 0;
const CLASS_IDLE = 3;

/** Runs `work` while this thread's reads and writes give way to all others, where the disk's scheduler has priorities. */
export function withIdleIo<T>(work: () => T): T {
	setIoClass(CLASS_IDLE);
	try {
		return work();
	} finally {
		setIoClass(CLASS_NONE);
	}
}

/** Of the calling thread alone: 0 stands for it. */
function setIoClass(ioClass: number): void {
	check(native().ioprio_set(IOPRIO_WHO_PROCESS, 0, ioClass << CLASS_SHIFT), "ioprio_set");
}
