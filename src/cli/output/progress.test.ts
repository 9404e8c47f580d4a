import { expect, test, vi } from "vitest";
import { ProgressBoard, progressLine } from "./progress.ts";
import { displayWidth } from "./table.ts";

function sink(isTTY: boolean) {
	const written: string[] = [];
	return { isTTY, columns: 80, rows: 24, written, write: (text: string) => written.push(text) };
}

test("elsewhere than on a terminal each finished layer is one plain line, said once", () => {
	const stream = sink(false);
	{
		using board = new ProgressBoard(stream, false);
		board.update("0", { label: "layer 1/2", doneBytes: 0, totalBytes: 10, state: "running" });
		board.update("0", { label: "layer 1/2", doneBytes: 10, totalBytes: 10, state: "done", note: "10 B" });
		board.update("0", { label: "layer 1/2", doneBytes: 10, totalBytes: 10, state: "done", note: "10 B" });
		board.update("1", { label: "layer 2/2", doneBytes: 0, state: "done", note: "already here" });
	}
	expect(stream.written.join("")).toBe("layer 1/2: 10 B\nlayer 2/2: already here\n");
});

test("on a terminal the bars are redrawn in place and the last state stays", () => {
	vi.useFakeTimers();
	try {
		const stream = sink(true);
		{
			using board = new ProgressBoard(stream, false);
			board.update("0", { label: "layer 1/1", doneBytes: 5, totalBytes: 10, state: "running" });
			vi.advanceTimersByTime(100);
			board.update("0", { label: "layer 1/1", doneBytes: 10, totalBytes: 10, state: "done", note: "10 B" });
		}
		expect(stream.written).toHaveLength(2);
		expect(stream.written[0]).toContain("[############............]");
		expect(stream.written[1]?.startsWith("\x1b[1A")).toBe(true);
		expect(stream.written[1]).toContain(`[${"#".repeat(24)}]  10 B`);
	} finally {
		vi.useRealTimers();
	}
});

test("quiet says nothing", () => {
	const stream = sink(false);
	using board = new ProgressBoard(stream, true);
	board.update("0", { label: "x", doneBytes: 1, state: "done" });
	expect(stream.written).toEqual([]);
});

test("a line never wraps, however narrow the terminal", () => {
	for (const columns of [1, 10, 40, 80]) {
		const item = {
			label: "layer 12/99 0123456789ab",
			doneBytes: 7,
			totalBytes: 9,
			state: "running",
		} as const;
		expect(displayWidth(progressLine(item, columns))).toBeLessThan(Math.max(columns, 1));
	}
});
