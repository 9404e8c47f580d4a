/** Header blocks as they come: in a frame or several, and understood only one after the other (RFC 9113, section 4.3). */
import { ConnectionError, ErrorCode } from "./frames.ts";
import { bytesOf, type HeaderField, HpackDecoder } from "./hpack.ts";

/** Of a block as it comes, and of its fields as they count. */
export const HEADER_LIST_BYTES_MAX: number = 64 * 1024;

/** A header block that is not whole yet. */
interface HeaderBlock {
	readonly streamId: number;
	readonly endStream: boolean;
	readonly parts: Buffer[];
	bytes: number;
}

/** A whole one. */
export interface HeaderList {
	readonly streamId: number;
	readonly endStream: boolean;
	readonly fields: readonly HeaderField[];
}

export class HeaderBlocks {
	readonly #hpack = new HpackDecoder();
	#block: HeaderBlock | undefined;

	/** The stream whose block is not whole yet. */
	get streamId(): number | undefined {
		return this.#block?.streamId;
	}

	begin(streamId: number, endStream: boolean): void {
		this.#block = { streamId, endStream, parts: [], bytes: 0 };
	}

	/** What was begun, if this is its last part. @throws {ConnectionError} @throws {HpackError} */
	take(part: Buffer, isLast: boolean): HeaderList | undefined {
		const block = this.#block;
		if (block === undefined) {
			throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "a header block goes on that was not begun");
		}
		block.parts.push(part);
		// An empty part counts too.
		block.bytes += part.length + 1;
		if (block.bytes > HEADER_LIST_BYTES_MAX) {
			throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "a header block is too long");
		}
		if (!isLast) return undefined;
		this.#block = undefined;
		const [first] = block.parts;
		const bytes = block.parts.length === 1 && first !== undefined ? first : Buffer.concat(block.parts);
		// It has to be decoded whatever becomes of the stream: the table lives on.
		const fields = this.#hpack.decode(bytes);
		let listBytes = 0;
		for (const field of fields) listBytes += bytesOf(field);
		if (listBytes > HEADER_LIST_BYTES_MAX) {
			throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "a header list is too long");
		}
		return { streamId: block.streamId, endStream: block.endStream, fields };
	}
}
