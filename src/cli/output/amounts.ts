/** Sizes, times and counts as a person reads them. `--json` never comes through here. */

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

/** Three digits and a decimal unit: `0 B`, `999 B`, `1.02 kB`, `117 MB`. */
export function humanSize(sizeBytes: number): string {
	let value = sizeBytes;
	let unit = 0;
	// 999.5 would be printed as 1000.
	while (value >= 999.5 && unit < UNITS.length - 1) {
		value /= 1000;
		unit++;
	}
	if (unit === 0) return `${value} B`;
	const digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
	return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

const SPANS: readonly (readonly [word: string, seconds: number])[] = [
	["year", 365 * 86_400],
	["month", 30 * 86_400],
	["week", 7 * 86_400],
	["day", 86_400],
	["hour", 3_600],
	["minute", 60],
];

/** `3 hours ago`; what lies ahead of a wrong clock is `just now`. */
export function age(thenMs: number, nowMs: number = Date.now()): string {
	const seconds = Math.floor((nowMs - thenMs) / 1000);
	for (const [word, span] of SPANS) {
		const count = Math.floor(seconds / span);
		if (count >= 1) return `${counted(count, word)} ago`;
	}
	return seconds < 1 ? "just now" : `${counted(seconds, "second")} ago`;
}

/** `1 layer`, `2 layers`. */
export function counted(count: number, noun: string, plural: string = `${noun}s`): string {
	return `${count} ${count === 1 ? noun : plural}`;
}

/** `0.42 s`, `12.1 s`, `2 min 5 s`. */
export function humanDuration(durationMs: number): string {
	const seconds = durationMs / 1000;
	if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
	if (seconds < 99.95) return `${seconds.toFixed(1)} s`;
	return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
}
