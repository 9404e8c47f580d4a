/** What was meant: the known name that is most like one that is not known, for "did you mean". */

/** The candidate that is most like `text`, where one is near enough to be meant. */
export function nearest(text: string, candidates: Iterable<string>): string | undefined {
	const limit = Math.max(1, Math.ceil(text.length / 3));
	let best: string | undefined;
	let bestDistance = limit + 1;
	for (const candidate of candidates) {
		if (Math.abs(candidate.length - text.length) >= bestDistance) continue;
		const distance = editDistance(text, candidate);
		if (distance < bestDistance) {
			best = candidate;
			bestDistance = distance;
		}
	}
	return best;
}

/** Levenshtein's distance: how many characters must be put in, taken out or changed. */
function editDistance(a: string, b: string): number {
	let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
	for (let i = 1; i <= a.length; i++) {
		const row = [i];
		for (let j = 1; j <= b.length; j++) {
			const replaced = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
			row.push(Math.min(replaced, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
		}
		previous = row;
	}
	return previous[b.length] ?? 0;
}
