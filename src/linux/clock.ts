/** Owns the clock: wall time to the nanosecond, which Date does not have. */
import { check } from "./errno.ts";
import { native } from "./native.ts";

const NS_PER_SECOND = 1_000_000_000n;

/** clock_gettime(2) of CLOCK_REALTIME: nanoseconds since 1970. */
export function realtimeNs(): bigint {
	const out = new BigInt64Array(2);
	check(native().clock_realtime(new Uint8Array(out.buffer)), "clock_gettime");
	const [seconds = 0n, nanoseconds = 0n] = out;
	return seconds * NS_PER_SECOND + nanoseconds;
}
