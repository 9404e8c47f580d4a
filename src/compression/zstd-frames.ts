/**
 * Where zstd frames begin and end, found from their headers and block lengths without decompressing.
 *
 * node:zlib of Node 24 drops what follows a frame in the same write (26 does not), so frames are cut apart here.
 * Source: RFC 8878, sections 3.1.1 and 3.1.2.
 */
import { checkPadding, damaged } from "./damaged.ts";

const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const MAX_BLOCK_BYTES = 128 * 1024;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;

type State =
	| "magic"
	| "skip-length"
	| "skip"
	| "descriptor"
	| "header"
	| "block-header"
	| "block"
	| "checksum"
	| "padding";

/** Give it chunks by `push`; call `finish` at the end. */
export class ZstdFrames {
	#state: State = "magic";
	/** Up to 14 bytes of a header that came in pieces. */
	readonly #field: Buffer = Buffer.alloc(16);
	#filled = 0;
	#needed = 4;
	/** Bytes left to pass over in `skip`, `block` and `checksum`. */
	#remaining = 0;
	#descriptor = 0;
	#isLastBlock = false;
	#frames = 0;

	/** The chunk in parts, none with bytes of two frames; skippable ones and padding are left out. @throws {LamellaError} `ECOMPRESSION` */
	*push(chunk: Uint8Array): Generator<Uint8Array> {
		let at = 0;
		/** Where the part of the frame that has not been handed out begins; -1 outside a frame. */
		let from = this.#inFrame() ? 0 : -1;
		while (at < chunk.length) {
			if (this.#state === "padding") {
				checkPadding("zstd", chunk.subarray(at));
				return;
			}
			if (this.#state === "magic" && this.#filled === 0) {
				if (chunk[at] === 0 && this.#frames > 0) {
					this.#state = "padding";
					continue;
				}
			}
			if (this.#state === "skip" || this.#state === "block" || this.#state === "checksum") {
				const take = Math.min(this.#remaining, chunk.length - at);
				at += take;
				this.#remaining -= take;
			} else {
				const take = Math.min(this.#needed - this.#filled, chunk.length - at);
				this.#field.set(chunk.subarray(at, at + take), this.#filled);
				this.#filled += take;
				at += take;
				if (this.#filled < this.#needed) break;
				this.#filled = 0;
				this.#takeField();
				if (this.#state === "descriptor") {
					// The magic may have begun in an earlier chunk, so it is handed out from here.
					yield this.#field.subarray(0, 4);
					from = at;
				}
			}
			if (this.#remaining === 0 && this.#partDone()) {
				if (from >= 0) yield chunk.subarray(from, at);
				from = -1;
			}
		}
		if (from >= 0 && from < chunk.length) yield chunk.subarray(from);
	}

	/** @throws {LamellaError} `ECOMPRESSION` where the input ended within a frame, or there was none. */
	finish(): void {
		const atBoundary = this.#state === "padding" || (this.#state === "magic" && this.#filled === 0);
		if (!atBoundary || this.#frames === 0) throw damaged("zstd", "it is truncated");
	}

	#inFrame(): boolean {
		return !["magic", "skip-length", "skip", "padding"].includes(this.#state);
	}

	#takeField(): void {
		const field = this.#field;
		switch (this.#state) {
			case "magic": {
				const magic = field.readUInt32LE(0);
				if (magic === FRAME_MAGIC) this.#expect("descriptor", 1);
				else if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) this.#expect("skip-length", 4);
				else if (this.#frames === 0) throw damaged("zstd", "it does not begin with a frame");
				else checkPadding("zstd", field.subarray(0, 4));
				return;
			}
			case "skip-length":
				this.#frames++;
				this.#state = "skip";
				this.#remaining = field.readUInt32LE(0);
				return;
			case "descriptor": {
				this.#descriptor = field[0] ?? 0;
				if (this.#descriptor & 0x08) throw damaged("zstd", "a frame's header is wrong");
				const length = this.#windowBytes() + this.#dictionaryBytes() + this.#contentSizeBytes();
				if (length === 0) this.#expect("block-header", 3);
				else this.#expect("header", length);
				return;
			}
			case "header":
				this.#expect("block-header", 3);
				return;
			default: {
				const header = field.readUIntLE(0, 3);
				const type = (header >> 1) & 3;
				const length = header >> 3;
				if (type === 3 || length > MAX_BLOCK_BYTES) throw damaged("zstd", "a block's header is wrong");
				this.#isLastBlock = (header & 1) === 1;
				this.#state = "block";
				// A block of one repeated byte stores that byte only.
				this.#remaining = type === 1 ? 1 : length;
			}
		}
	}

	/** What follows what has been passed over. Returns whether a frame has ended. */
	#partDone(): boolean {
		switch (this.#state) {
			case "skip":
				this.#expect("magic", 4);
				return false;
			case "block":
				if (!this.#isLastBlock) {
					this.#expect("block-header", 3);
					return false;
				}
				if (this.#descriptor & 0x04) {
					this.#state = "checksum";
					this.#remaining = 4;
					return false;
				}
				break;
			case "checksum":
				break;
			default:
				return false;
		}
		this.#frames++;
		this.#expect("magic", 4);
		return true;
	}

	#expect(state: State, bytes: number): void {
		this.#state = state;
		this.#needed = bytes;
	}

	#windowBytes(): number {
		return this.#descriptor & 0x20 ? 0 : 1;
	}

	#dictionaryBytes(): number {
		return DICTIONARY_ID_BYTES[(this.#descriptor & 3) as 0 | 1 | 2 | 3];
	}

	#contentSizeBytes(): number {
		const flag = (this.#descriptor >> 6) as 0 | 1 | 2 | 3;
		return flag === 0 && this.#descriptor & 0x20 ? 1 : CONTENT_SIZE_BYTES[flag];
	}
}
