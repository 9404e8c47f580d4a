/** Tables: a header in capitals, columns two spaces apart, numbers to the right, nothing behind the last cell. */

export interface Column<Row> {
	readonly title: string;
	/** The cell's text, safe for a terminal already. */
	readonly cell: (row: Row) => string;
	readonly align?: "left" | "right";
}

/** The table's lines, header first; no lines but the header where there are no rows. */
export function tableLines<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string[] {
	const texts = [
		columns.map((column) => column.title),
		...rows.map((row) => columns.map((c) => c.cell(row))),
	];
	const widths = columns.map((_, i) => Math.max(...texts.map((cells) => displayWidth(cells[i] ?? ""))));
	return texts.map((cells) =>
		cells
			.map((text, i) => {
				const padding = " ".repeat((widths[i] ?? 0) - displayWidth(text));
				return columns[i]?.align === "right" ? padding + text : text + padding;
			})
			.join("  ")
			.trimEnd(),
	);
}

// Two cells wide on a terminal: East Asian scripts, full-width forms, emoji. None: combining marks, joiners.
const WIDE =
	/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\uff01-\uff60\uffe0-\uffe6]/u;
const NARROWEST = /\p{Mn}|\p{Me}|[\u200b-\u200d]/u;

/** How many cells of a terminal the text takes. */
export function displayWidth(text: string): number {
	// Most text is ASCII, and the first use of each class above takes a quarter of a millisecond.
	if (/^[ -~]*$/.test(text)) return text.length;
	let width = 0;
	for (const character of text) width += NARROWEST.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
	return width;
}
