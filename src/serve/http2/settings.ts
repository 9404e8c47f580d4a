/** SETTINGS (RFC 9113, section 6.5): what the other side says, as far as it matters to who answers. */
import { ConnectionError, ErrorCode, FRAME_BYTES_MAX } from "./frames.ts";

export const Setting = {
	HEADER_TABLE_SIZE: 1,
	ENABLE_PUSH: 2,
	MAX_CONCURRENT_STREAMS: 3,
	INITIAL_WINDOW_SIZE: 4,
	MAX_FRAME_SIZE: 5,
	MAX_HEADER_LIST_SIZE: 6,
} as const;

export const WINDOW_BYTES_MAX: number = 2 ** 31 - 1;
const SETTING_BYTES = 6;

export interface Settings {
	/** What a stream may send at first. */
	readonly windowBytes: number | undefined;
	/** The least that was said of what may be in the table of headers. */
	readonly tableBytesMin: number;
}

/** @throws {ConnectionError} where a value makes no sense */
export function readSettings(payload: Buffer): Settings {
	if (payload.length % SETTING_BYTES !== 0) {
		throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "settings have six bytes each");
	}
	let windowBytes: number | undefined;
	let tableBytesMin = Number.POSITIVE_INFINITY;
	for (let at = 0; at < payload.length; at += SETTING_BYTES) {
		const value = payload.readUInt32BE(at + 2);
		switch (payload.readUInt16BE(at)) {
			case Setting.HEADER_TABLE_SIZE:
				tableBytesMin = Math.min(tableBytesMin, value);
				break;
			case Setting.ENABLE_PUSH:
				if (value > 1) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "pushing is on or off");
				break;
			case Setting.INITIAL_WINDOW_SIZE:
				if (value > WINDOW_BYTES_MAX) {
					throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "a window is too large");
				}
				windowBytes = value;
				break;
			case Setting.MAX_FRAME_SIZE:
				if (value < FRAME_BYTES_MAX || value >= 2 ** 24) {
					throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `frames cannot be limited to ${value} bytes`);
				}
				break;
			default:
			// What the others allow is not made use of; what came later is to be ignored.
		}
	}
	return { windowBytes, tableBytesMin };
}

export function settingsPayload(settings: readonly (readonly [id: number, value: number])[]): Buffer {
	const bytes = Buffer.allocUnsafe(SETTING_BYTES * settings.length);
	settings.forEach(([id, value], i) => {
		bytes.writeUInt16BE(id, SETTING_BYTES * i);
		bytes.writeUInt32BE(value, SETTING_BYTES * i + 2);
	});
	return bytes;
}
