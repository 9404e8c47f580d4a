/**
 * Header compression (HPACK, RFC 7541): decoding in full; encoding only as literals that enter no table, since an answer
 * has three headers that are always the same.
 */
import { decodeHuffman } from "./huffman.ts";

export type HeaderField = readonly [name: string, value: string];

/** RFC 7541, appendix A: index 1 comes first. */
const STATIC_TABLE: readonly HeaderField[] = [
	[":authority", ""],
	[":method", "GET"],
	[":method", "POST"],
	[":path", "/"],
	[":path", "/index.html"],
	[":scheme", "http"],
	[":scheme", "https"],
	...["200", "204", "206", "304", "400", "404", "500"].map((status): HeaderField => [":status", status]),
	["accept-charset", ""],
	["accept-encoding", "gzip, deflate"],
	...(
		"accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control " +
		"content-disposition content-encoding content-language content-length content-location content-range content-type " +
		"cookie date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since " +
		"last-modified link location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after " +
		"server set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate"
	)
		.split(" ")
		.map((name): HeaderField => [name, ""]),
];

/** What the other side may keep in the table; HTTP/2's default. */
export const TABLE_BYTES_MAX = 4096;
/** Begins a header block and says that the table of who sent it holds nothing, and never will (section 6.3). */
export const TABLE_EMPTIED: Buffer = Buffer.of(0x20);
/** RFC 7541, section 4.1: what an entry counts besides its text. */
const ENTRY_BYTES = 32;

/** The other side's header block makes no sense: nothing that follows on the connection can be understood. */
export class HpackError extends Error {}

export class HpackDecoder {
	/** The newest first. */
	readonly #table: HeaderField[] = [];
	#tableBytes = 0;
	#tableBytesMax = TABLE_BYTES_MAX;
	#block: Buffer = Buffer.alloc(0);
	#at = 0;

	/** The fields of a whole header block. @throws {HpackError} */
	decode(block: Buffer): HeaderField[] {
		this.#block = block;
		this.#at = 0;
		const fields: HeaderField[] = [];
		while (this.#at < block.length) {
			const byte = block[this.#at] ?? 0;
			if (byte >= 0x80) {
				fields.push(this.#indexed(this.#integer(7)));
			} else if (byte >= 0x40) {
				const field = this.#literal(6);
				this.#keep(field);
				fields.push(field);
			} else if (byte >= 0x20) {
				if (fields.length > 0) throw new HpackError("the table's size changes within a header block");
				this.#resize(this.#integer(5));
			} else {
				fields.push(this.#literal(4));
			}
		}
		return fields;
	}

	#indexed(index: number): HeaderField {
		const field =
			index <= STATIC_TABLE.length ? STATIC_TABLE[index - 1] : this.#table[index - STATIC_TABLE.length - 1];
		if (field === undefined) throw new HpackError(`no header has the index ${index}`);
		return field;
	}

	#literal(prefixBits: number): HeaderField {
		const index = this.#integer(prefixBits);
		const name = index === 0 ? this.#string() : this.#indexed(index)[0];
		return [name, this.#string()];
	}

	/** RFC 7541, section 5.1. */
	#integer(prefixBits: number): number {
		const prefix = 2 ** prefixBits - 1;
		let value = this.#byte() & prefix;
		if (value < prefix) return value;
		for (let shift = 0; shift <= 21; shift += 7) {
			const byte = this.#byte();
			value += (byte & 0x7f) << shift;
			if (byte < 0x80) return value;
		}
		throw new HpackError("a number is too large");
	}

	#string(): string {
		const isHuffman = (this.#block[this.#at] ?? 0) >= 0x80;
		const length = this.#integer(7);
		const end = this.#at + length;
		if (end > this.#block.length) throw new HpackError("a string goes on after its header block");
		const bytes = this.#block.subarray(this.#at, end);
		this.#at = end;
		const text = isHuffman ? decodeHuffman(bytes) : bytes.toString("latin1");
		if (text === undefined) throw new HpackError("a string is not in the Huffman code");
		return text;
	}

	#byte(): number {
		const byte = this.#block[this.#at];
		if (byte === undefined) throw new HpackError("a header block ends too early");
		this.#at += 1;
		return byte;
	}

	#keep(field: HeaderField): void {
		this.#tableBytes += bytesOf(field);
		this.#table.unshift(field);
		this.#evict();
	}

	#resize(bytes: number): void {
		if (bytes > TABLE_BYTES_MAX) throw new HpackError("the table is to be larger than it may be");
		this.#tableBytesMax = bytes;
		this.#evict();
	}

	#evict(): void {
		while (this.#tableBytes > this.#tableBytesMax) {
			const oldest = this.#table.pop();
			if (oldest === undefined) return;
			this.#tableBytes -= bytesOf(oldest);
		}
	}
}

/** A header block of literals. Names in lower case, names and values in Latin-1. */
export function encodeHeaders(fields: readonly HeaderField[]): Buffer {
	return Buffer.concat(
		fields.flatMap(([name, value]) => [Buffer.of(0), ...encodedString(name), ...encodedString(value)]),
	);
}

/** What a field counts in a table, and against the limit of a header list. */
export function bytesOf([name, value]: HeaderField): number {
	return name.length + value.length + ENTRY_BYTES;
}

function encodedString(text: string): Buffer[] {
	const bytes = Buffer.from(text, "latin1");
	const length: number[] = [];
	if (bytes.length < 0x7f) {
		length.push(bytes.length);
	} else {
		length.push(0x7f);
		let rest = bytes.length - 0x7f;
		for (; rest >= 0x80; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
		length.push(rest);
	}
	return [Buffer.from(length), bytes];
}
