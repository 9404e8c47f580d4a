/**
 * The one way in which bytes that the kernel or an archive gave (names, targets) become text for people.
 */

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** What would break a line or hide text: controls, format characters, surrogates, unassigned, separators. */
const unprintable = /[\p{C}\p{Zl}\p{Zp}]/u;

/**
 * Printable UTF-8 stays as it is; every other byte becomes `\xNN`; a backslash is doubled. So the text is
 * unambiguous, holds no terminal controls and fits on one line.
 */
export function escapePath(bytes: Uint8Array): string {
	const latin1 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
	if (/^[ -[\]-~]*$/.test(latin1)) return latin1;
	let text = "";
	for (let at = 0; at < bytes.length; ) {
		const lead = bytes[at] ?? 0;
		const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
		const character = decodeOne(bytes.subarray(at, at + length));
		if (character === undefined) {
			text += `\\x${lead.toString(16).padStart(2, "0")}`;
			at += 1;
		} else if (character === "\\") {
			text += "\\\\";
			at += length;
		} else if (unprintable.test(character)) {
			for (const byte of bytes.subarray(at, at + length)) text += `\\x${byte.toString(16).padStart(2, "0")}`;
			at += length;
		} else {
			text += character;
			at += length;
		}
	}
	return text;
}

function decodeOne(bytes: Uint8Array): string | undefined {
	try {
		const text = decoder.decode(bytes);
		// More than one character means that the lead byte lied about its length.
		return [...text].length === 1 ? text : undefined;
	} catch {
		// Not UTF-8: the caller escapes the byte.
		return undefined;
	}
}
