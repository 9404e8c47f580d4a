/**
 * Owns the one way in which bytes become text for people (and only for them): messages, tables, logs.
 */
import { Buffer, isUtf8 } from "node:buffer";

// Control, format (bidirectional marks too), unassigned and private characters, lone surrogates, line separators.
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/u;
const TO_ESCAPE = /[\\\p{C}\p{Zl}\p{Zp}]/u;

const hex = (byte: number): string => `\\x${byte.toString(16).padStart(2, "0")}`;

/** Length of the UTF-8 sequence that `lead` begins, 0 where it begins none. */
function sequenceLength(lead: number): number {
	if (lead < 0x80) return 1;
	if (lead >= 0xc2 && lead < 0xe0) return 2;
	if (lead >= 0xe0 && lead < 0xf0) return 3;
	if (lead >= 0xf0 && lead < 0xf5) return 4;
	return 0;
}

/** Asked before decoding: a decoder that throws costs far more. */
function tryDecode(bytes: Uint8Array): string | undefined {
	return isUtf8(bytes)
		? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8")
		: undefined;
}

/**
 * Bytes as text for people: printable UTF-8 as it is, every other byte as `\xNN`, a backslash doubled. Different
 * bytes never give the same text.
 */
export function escapePath(bytes: Uint8Array | string): string {
	const raw = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
	const whole = tryDecode(raw);
	if (whole !== undefined && !TO_ESCAPE.test(whole)) return whole;
	let text = "";
	let at = 0;
	while (at < raw.length) {
		const lead = raw[at] ?? 0;
		const length = sequenceLength(lead);
		const sequence = raw.subarray(at, at + length);
		const character = length > 0 && sequence.length === length ? tryDecode(sequence) : undefined;
		if (character === undefined) {
			text += hex(lead);
			at += 1;
			continue;
		}
		if (character === "\\") text += "\\\\";
		else if (UNPRINTABLE.test(character)) for (const byte of sequence) text += hex(byte);
		else text += character;
		at += length;
	}
	return text;
}
