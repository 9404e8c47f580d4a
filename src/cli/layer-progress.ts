/** Turns the library's progress events into lines of a progress board: one a layer. */
import type { ProgressEvent } from "../api/index.ts";
import { humanSize } from "./output/amounts.ts";
import type { ProgressBoard, ProgressItem } from "./output/progress.ts";
import { forPeople, shortDigest } from "./output/text.ts";

/** An event handler that shows what it is told on `board`. */
export function showProgress(board: ProgressBoard): (event: ProgressEvent) => void {
	return (event) => {
		board.update(
			`${event.image ?? ""} ${event.phase === "reading" ? "reading" : event.index}`,
			progressItem(event),
		);
	};
}

/** What one event says of one line. */
export function progressItem(event: ProgressEvent): ProgressItem {
	const { phase, doneBytes, totalBytes } = event;
	if (phase === "reading") {
		const whole = totalBytes !== undefined && doneBytes >= totalBytes;
		return { label: "archive", doneBytes, totalBytes, state: whole ? "done" : "running", note: "read" };
	}
	const which = `layer ${event.index + 1}/${event.count}`;
	const label = event.layer === undefined ? which : `${which} ${forPeople(shortDigest(event.layer))}`;
	switch (phase) {
		case "waiting":
			return { label, doneBytes, totalBytes, state: "waiting" };
		case "exists":
			return {
				label,
				doneBytes,
				totalBytes,
				state: "done",
				note: event.operation === "push" ? "already there" : "already here",
			};
		case "done":
			return { label, doneBytes, totalBytes, state: "done", note: humanSize(totalBytes ?? doneBytes) };
		default:
			return { label, doneBytes, totalBytes, state: "running" };
	}
}
