import { expect } from "vitest";

/** Two snapshots of trees are the same; shows only what differs, for the runner takes minutes to show whole trees. */
export function expectSameTree(actual: Record<string, unknown>, expected: Record<string, unknown>): void {
	const differing: Record<string, { actual: unknown; expected: unknown }> = {};
	for (const path of new Set([...Object.keys(expected), ...Object.keys(actual)])) {
		if (JSON.stringify(actual[path]) === JSON.stringify(expected[path])) continue;
		differing[path] = { actual: actual[path], expected: expected[path] };
		if (Object.keys(differing).length === 20) break;
	}
	expect(differing).toEqual({});
}
