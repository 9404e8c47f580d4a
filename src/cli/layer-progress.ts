/** Turns the library's progress events into lines of a progress board: one a layer. */
import type { ProgressEvent } from "../api/index.ts";
import { humanSize } from "./output/amounts.ts";
import type { ProgressBoard, ProgressItem } from "./output/progress.ts";
import { forPeople, shortDigest } from "./output/text.ts";

const TOTAL = "total";

/** An event handler that shows what it is told on `board`. */
export function showProgress(board: ProgressBoard): (event: ProgressEvent) => void {
	const pulled = new Map<number, ProgressEvent>();
	return (event) => {
		board.update(
			`${event.image ?? ""} ${event.phase === "reading" ? "reading" : event.index}`,
			progressItem(event),
		);
		if (event.operation !== "pull") return;
		pulled.set(event.index, event);
		// At the bottom: below the lines of all layers, which come first.
		if (pulled.size === event.count) board.update(TOTAL, totalItem([...pulled.values()]));
	};
}

/** All layers together. What is here already does not come, so it does not count. */
function totalItem(events: readonly ProgressEvent[]): ProgressItem {
	const coming = events.filter(({ phase }) => phase !== "exists");
	const sum = (sizeOf: (event: ProgressEvent) => number): number =>
		coming.reduce((bytes, event) => bytes + sizeOf(event), 0);
	return {
		label: TOTAL,
		doneBytes: sum(({ phase, doneBytes, totalBytes = 0 }) => (phase === "done" ? totalBytes : doneBytes)),
		totalBytes: sum(({ totalBytes = 0 }) => totalBytes),
		// Never "done", which would be a line where no terminal is.
		state: "running",
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
		case "downloading":
			return { label, doneBytes, totalBytes, state: "running", note: phase };
		case "applying":
			// As long as bytes come that is to be seen; for a pulled layer it says what goes on after that.
			return {
				label,
				doneBytes,
				totalBytes,
				state: "running",
				...(event.operation === "pull" && { note: phase }),
			};
		case "uploading":
			return { label, doneBytes, totalBytes, state: "running", note: phase };
		case "writing":
			return {
				label,
				doneBytes,
				totalBytes,
				state: "running",
				...(event.operation === "push" && { note: "compressing" }),
			};
		default:
			return { label, doneBytes, totalBytes, state: "running" };
	}
}
