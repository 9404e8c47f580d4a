/** HTTP/2 frames (RFC 9113, sections 4 and 6): nine bytes of header, and a payload. */

export const FRAME_HEADER_BYTES = 9;
/** The default, and what is kept to on both ways. */
export const FRAME_BYTES_MAX = 16_384;

export const FrameType = {
	DATA: 0,
	HEADERS: 1,
	PRIORITY: 2,
	RST_STREAM: 3,
	SETTINGS: 4,
	PUSH_PROMISE: 5,
	PING: 6,
	GOAWAY: 7,
	WINDOW_UPDATE: 8,
	CONTINUATION: 9,
} as const;

export const Flag = { ACK: 1, END_STREAM: 1, END_HEADERS: 4, PADDED: 8, PRIORITY: 32 } as const;

export const ErrorCode = {
	NO_ERROR: 0,
	PROTOCOL_ERROR: 1,
	FLOW_CONTROL_ERROR: 3,
	STREAM_CLOSED: 5,
	FRAME_SIZE_ERROR: 6,
	REFUSED_STREAM: 7,
	CANCEL: 8,
	COMPRESSION_ERROR: 9,
	ENHANCE_YOUR_CALM: 11,
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

export interface Frame {
	readonly type: number;
	readonly flags: number;
	readonly streamId: number;
	readonly payload: Buffer;
}

/** Ends the connection with `code`. */
export class ConnectionError extends Error {
	readonly code: ErrorCode;

	constructor(code: ErrorCode, message: string) {
		super(message);
		this.code = code;
	}
}

/** Cuts what comes into frames. */
export class FrameReader {
	#rest: Buffer | undefined;

	/** The frames that are whole now. @throws {ConnectionError} for one that is too long */
	read(chunk: Buffer): Frame[] {
		const frames: Frame[] = [];
		let bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
		this.#rest = undefined;
		while (bytes.length >= FRAME_HEADER_BYTES) {
			const length = bytes.readUIntBE(0, 3);
			if (length > FRAME_BYTES_MAX) {
				throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, `a frame of ${length} bytes came`);
			}
			const end = FRAME_HEADER_BYTES + length;
			if (bytes.length < end) break;
			frames.push({
				type: bytes[3] ?? 0,
				flags: bytes[4] ?? 0,
				streamId: bytes.readUInt32BE(5) & 0x7fff_ffff,
				payload: bytes.subarray(FRAME_HEADER_BYTES, end),
			});
			bytes = bytes.subarray(end);
		}
		if (bytes.length > 0) this.#rest = bytes;
		return frames;
	}
}

/** A frame as it is sent. */
export function frameOf(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
	const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length);
	frame.writeUIntBE(payload.length, 0, 3);
	frame[3] = type;
	frame[4] = flags;
	frame.writeUInt32BE(streamId, 5);
	frame.set(payload, FRAME_HEADER_BYTES);
	return frame;
}

export function uint32(...values: readonly number[]): Buffer {
	const bytes = Buffer.allocUnsafe(4 * values.length);
	values.forEach((value, i) => {
		bytes.writeUInt32BE(value, 4 * i);
	});
	return bytes;
}

/** The payload without padding and priority. @throws {ConnectionError} */
export function content({ type, flags, payload }: Frame): Buffer {
	let start = 0;
	let end = payload.length;
	if ((flags & Flag.PADDED) !== 0) {
		end -= payload[0] ?? 0;
		start = 1;
	}
	if (type === FrameType.HEADERS && (flags & Flag.PRIORITY) !== 0) start += 5;
	if (start > end) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "a frame is all padding");
	return payload.subarray(start, end);
}

/** @throws {ConnectionError} where the payload has another length */
export function mustHave({ type, payload }: Frame, bytes: number): void {
	if (payload.length === bytes) return;
	throw new ConnectionError(
		ErrorCode.FRAME_SIZE_ERROR,
		`a frame of type ${type} has ${payload.length} bytes, not ${bytes}`,
	);
}

/** @throws {ConnectionError} for a frame of a stream */
export function mustBeOfConnection(streamId: number): void {
	if (streamId !== 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "the frame is not for a stream");
}
