/**
 * Text that comes out of images, made safe for a terminal: a name may hold escape sequences, line breaks or
 * right-to-left marks, and none of them may reach the person's screen as they are.
 */
import { escapePath } from "../../errors/index.ts";

/** Bytes or text from an image or a layer, for a person to read: the one escaper. */
export function forPeople(value: Uint8Array | string): string {
	return escapePath(typeof value === "string" ? Buffer.from(value) : value);
}

// Controls (but for line feed and tab), the marks that reorder, join or hide what stands around them, and separators.
const UNSAFE = /(?![\n\t])[\p{C}\p{Zl}\p{Zp}]/gu;

/**
 * A message that was put together for people already: only what would move a terminal's cursor or hide text is written as
 * `\xNN` or `\u{NNNN}`. Backslashes stay: the names within were escaped before.
 */
export function withoutControls(message: string): string {
	// Most text is ASCII, and the first use of such a class takes half a millisecond.
	if (/^[\n\t -~]*$/.test(message)) return message;
	return message.replace(UNSAFE, (character) => {
		const code = character.codePointAt(0) ?? 0;
		return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
	});
}

/** A JSON document that says the same to a program and hides nothing from a person: the unsafe is written as `\uNNNN`. */
export function printableJson(value: unknown): string {
	return JSON.stringify(value, undefined, 2).replace(UNSAFE, (character) =>
		[...Array(character.length).keys()]
			.map((i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`)
			.join(""),
	);
}

/** `sha256:0123456789ab…` shortened to its first twelve digits, as every tool of the field prints it. */
export function shortDigest(digest: string): string {
	return digest.startsWith("sha256:") ? digest.slice("sha256:".length, "sha256:".length + 12) : digest;
}

/** Any id: one that is long and made of digests is shortened, a name that somebody chose stays. */
export function shortId(id: string): string {
	return id.replace(/\b(?:sha256:)?([0-9a-f]{12})[0-9a-f]{52}\b/g, "$1");
}
