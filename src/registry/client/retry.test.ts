import { describe, expect, it, test } from "vitest";
import { RegistryError } from "./failure.ts";
import { delayAfter, parseRetryAfter, RETRY, retrying } from "./retry.ts";

const passing = (retryAfterMs?: number): RegistryError =>
	new RegistryError("EREGISTRY", "x", { host: "h", isPassing: true, retryAfterMs });

describe("Retry-After", () => {
	test.each([
		["5", 5000],
		["0", 0],
		[undefined, undefined],
		["soon", undefined],
		["Wed, 21 Oct 2015 07:28:00 GMT", 0],
	])("%j", (header, ms) => {
		expect(parseRetryAfter(header)).toBe(ms);
	});

	it("may be a date", () => {
		const ms = parseRetryAfter(new Date(Date.now() + 10_000).toUTCString()) ?? 0;
		expect(ms).toBeGreaterThan(8000);
		expect(ms).toBeLessThanOrEqual(10_000);
	});
});

describe("the time to the next attempt", () => {
	it("grows to a limit, and ends with the attempts", () => {
		const delays = [1, 2, 3, 4, 5].map((failures) => delayAfter(passing(), failures, RETRY) ?? -1);
		for (const [i, ms] of delays.entries()) {
			expect(ms).toBeGreaterThanOrEqual((RETRY.firstDelayMs * 2 ** i) / 2);
			expect(ms).toBeLessThanOrEqual(RETRY.firstDelayMs * 2 ** i);
		}
		expect(delayAfter(passing(), 20, { ...RETRY, attempts: 30 })).toBeLessThanOrEqual(RETRY.longestDelayMs);
		expect(delayAfter(passing(), RETRY.attempts, RETRY)).toBeUndefined();
	});

	it("is what the host says, where that is not too long", () => {
		expect(delayAfter(passing(7000), 1, RETRY)).toBe(7000);
		expect(delayAfter(passing(3_600_000), 1, RETRY)).toBeUndefined();
	});

	it("is none for what does not pass", () => {
		expect(delayAfter(new RegistryError("ENOTFOUND", "x", { host: "h" }), 1, RETRY)).toBeUndefined();
		expect(delayAfter(new Error("a fault"), 1, RETRY)).toBeUndefined();
	});
});

it("a pause ends with the signal", async () => {
	const controller = new AbortController();
	const waiting = retrying(RETRY, controller.signal, () => Promise.reject(passing(50_000)));
	controller.abort();
	await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
});
