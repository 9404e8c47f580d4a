/** Trees compared node by node: what differs is shown, for the runner takes minutes to show whole trees. */
import { expect } from "vitest";

interface Differing<T> {
	readonly actual: T | undefined;
	readonly expected: T | undefined;
}

/** What differs, by path; of many the first ones. */
export function differences<T>(
	actual: Readonly<Record<string, T>>,
	expected: Readonly<Record<string, T>>,
): Record<string, Differing<T>> {
	const paths = [...new Set([...Object.keys(expected), ...Object.keys(actual)])];
	const differing = paths.filter((path) => JSON.stringify(actual[path]) !== JSON.stringify(expected[path]));
	return Object.fromEntries(
		differing.slice(0, 20).map((path) => [path, { actual: actual[path], expected: expected[path] }]),
	);
}

export function expectSameTree(actual: Record<string, unknown>, expected: Record<string, unknown>): void {
	expect(differences(actual, expected)).toEqual({});
}
