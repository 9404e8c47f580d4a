/**
 * Measuring whole commands on a machine that others use too: the things compared take turns, several rounds,
 * and only the ratio of their medians is a result.
 */

export interface Contestant {
	readonly name: string;
	/** Brings back the state before; not measured. */
	prepare?(): Promise<void> | void;
	measure(): Promise<void> | void;
}

export interface Score {
	readonly name: string;
	readonly medianMs: number;
	readonly runsMs: readonly number[];
}

export async function alternate(
	contestants: readonly Contestant[],
	rounds: number,
): Promise<readonly Score[]> {
	const runs = new Map<string, number[]>(contestants.map(({ name }) => [name, []]));
	for (let round = 0; round < rounds; round += 1) {
		// The order turns around each round, so that nobody always runs after the same neighbour.
		const order = round % 2 === 0 ? contestants : [...contestants].reverse();
		for (const contestant of order) {
			await contestant.prepare?.();
			const start = process.hrtime.bigint();
			await contestant.measure();
			runs.get(contestant.name)?.push(Number(process.hrtime.bigint() - start) / 1e6);
		}
	}
	return contestants.map(({ name }) => {
		const runsMs = runs.get(name) ?? [];
		return { name, medianMs: median(runsMs), runsMs };
	});
}

export function median(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	const middle = sorted.length >> 1;
	const upper = sorted[middle] ?? Number.NaN;
	return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** A table for people: name, median, all runs, ratio to the first. */
export function report(title: string, scores: readonly Score[]): string {
	const base = scores[0]?.medianMs ?? Number.NaN;
	const lines = scores.map(({ name, medianMs, runsMs }) => {
		const runs = runsMs.map((ms) => ms.toFixed(ms < 100 ? 2 : 0)).join(" ");
		return `  ${name.padEnd(34)} ${medianMs.toFixed(medianMs < 100 ? 2 : 0).padStart(8)} ms   ${(medianMs / base).toFixed(2).padStart(5)}   (${runs})`;
	});
	return [title, `  ${"".padEnd(34)}   median      ratio   runs`, ...lines].join("\n");
}
