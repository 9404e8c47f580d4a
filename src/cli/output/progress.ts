/**
 * Progress on stderr: a bar for every layer on a terminal, redrawn in place; one plain line for each finished
 * layer elsewhere. Stdout is never touched, so that it can be piped while this is shown.
 */
import { humanSize } from "./amounts.ts";
import { displayWidth } from "./table.ts";

export interface ProgressItem {
	/** What is worked on, safe for a terminal. */
	readonly label: string;
	readonly doneBytes: number;
	/** Absent where it is not known beforehand. */
	readonly totalBytes?: number | undefined;
	readonly state: "waiting" | "running" | "done";
	/** Behind a finished item: its size, "already here". Behind one that runs: what is done to it. */
	readonly note?: string | undefined;
}

export interface ProgressStream {
	readonly isTTY?: boolean;
	readonly columns?: number;
	readonly rows?: number;
	write(text: string): unknown;
}

const REDRAW_MS = 80;
const BAR_CELLS = 24;

/** One line for `item`, no wider than `columns`. */
export function progressLine(item: ProgressItem, columns: number): string {
	const total = item.totalBytes;
	const share =
		item.state === "done" ? 1 : total !== undefined && total > 0 ? Math.min(1, item.doneBytes / total) : 0;
	const filled = Math.round(share * BAR_CELLS);
	const bar = `[${"#".repeat(filled)}${".".repeat(BAR_CELLS - filled)}]`;
	const amount =
		item.state === "waiting"
			? "waiting"
			: item.state === "done"
				? (item.note ?? "done")
				: total === undefined
					? humanSize(item.doneBytes)
					: `${humanSize(item.doneBytes)} of ${humanSize(total)}`;
	const doing = item.state === "running" && item.note !== undefined ? `  ${item.note}` : "";
	const line = `${item.label}  ${bar}  ${amount}${doing}`;
	if (displayWidth(line) < columns) return line;
	// A narrow terminal must not wrap, or the next redraw would climb too few lines.
	return [...`${item.label}  ${Math.round(share * 100)}%`].slice(0, Math.max(0, columns - 1)).join("");
}

/** Shows items by key in the order in which they were first seen. Dispose it before anything else is printed. */
export class ProgressBoard implements Disposable {
	readonly #stream: ProgressStream;
	readonly #quiet: boolean;
	readonly #items: Map<string, ProgressItem> = new Map();
	#drawnLines = 0;
	#timer: NodeJS.Timeout | undefined;

	constructor(stream: ProgressStream, quiet: boolean) {
		this.#stream = stream;
		this.#quiet = quiet;
	}

	/** Sets what is known of one item. */
	update(key: string, item: ProgressItem): void {
		const before = this.#items.get(key);
		this.#items.set(key, item);
		if (this.#quiet) return;
		if (this.#stream.isTTY === true) {
			this.#timer ??= setTimeout(() => {
				this.#timer = undefined;
				this.#draw();
			}, REDRAW_MS);
		} else if (item.state === "done" && before?.state !== "done") {
			this.#stream.write(`${item.label}: ${item.note ?? "done"}\n`);
		}
	}

	/** Draws the last state and leaves it standing. */
	[Symbol.dispose](): void {
		if (this.#timer === undefined) return;
		clearTimeout(this.#timer);
		this.#timer = undefined;
		this.#draw();
	}

	#draw(): void {
		const up = this.#drawnLines === 0 ? "" : `\x1b[${this.#drawnLines}A`;
		const columns = this.#stream.columns ?? 80;
		// What scrolled off the screen can no longer be redrawn: finished items make room first.
		const room = Math.max(1, (this.#stream.rows || 24) - 1);
		let items = [...this.#items.values()];
		if (items.length > room) {
			items = items.filter((item) => item.state !== "done").slice(0, room);
		}
		const lines = items.map((item) => `${progressLine(item, columns)}\x1b[K\n`);
		this.#stream.write(`${up}${lines.join("")}\x1b[J`);
		this.#drawnLines = lines.length;
	}
}
