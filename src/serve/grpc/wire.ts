/**
 * gRPC's own forms on top of HTTP/2: length-prefixed messages, the timeout header, the status message
 * ("gRPC over HTTP2", the protocol description of the gRPC project).
 */
import { GrpcRefusal, GrpcStatus } from "./status.ts";

/** One byte that says whether the message is compressed, four bytes of length. */
const PREFIX_BYTES = 5;

/** A message as it is sent. */
export function frame(message: Uint8Array): Buffer {
	const framed = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
	framed[0] = 0;
	framed.writeUInt32BE(message.length, 1);
	framed.set(message, PREFIX_BYTES);
	return framed;
}

/**
 * The one message that a call's body holds.
 * @throws {GrpcRefusal} where it holds none, a part of one, more than one, or a compressed one
 */
export function unframe(body: Buffer): Buffer {
	if (body.length < PREFIX_BYTES) {
		throw new GrpcRefusal(GrpcStatus.INTERNAL, "the call ended before its message");
	}
	if (body[0] !== 0) {
		throw new GrpcRefusal(GrpcStatus.UNIMPLEMENTED, "compressed messages are not understood here");
	}
	const length = body.readUInt32BE(1);
	if (body.length !== PREFIX_BYTES + length) {
		throw new GrpcRefusal(
			GrpcStatus.INTERNAL,
			`one message of ${length} bytes was announced, and ${body.length - PREFIX_BYTES} bytes came`,
		);
	}
	return body.subarray(PREFIX_BYTES);
}

const UNIT_MS: Readonly<Record<string, number>> = {
	H: 3_600_000,
	M: 60_000,
	S: 1000,
	m: 1,
	u: 1e-3,
	n: 1e-6,
};
/** What setTimeout takes. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

/** `grpc-timeout` in milliseconds. @throws {GrpcRefusal} */
export function timeoutMs(header: string): number {
	const [, digits = "", unit = ""] = /^(\d{1,8})([HMSmun])$/.exec(header) ?? [];
	const factor = UNIT_MS[unit];
	if (factor === undefined) {
		throw new GrpcRefusal(GrpcStatus.INTERNAL, `the timeout "${header}" makes no sense`);
	}
	return Math.min(Math.ceil(Number(digits) * factor), TIMEOUT_MS_MAX);
}

/** What a status message is cut to: clients take headers of some kilobytes. */
const MESSAGE_CHARACTERS_MAX = 4000;

/** A status message as a header can carry it: bytes outside of printable ASCII, and "%", in percent form. */
export function encodeMessage(text: string): string {
	const message = text.length <= MESSAGE_CHARACTERS_MAX ? text : `${text.slice(0, MESSAGE_CHARACTERS_MAX)}…`;
	return /^[ -$&-~]*$/.test(message)
		? message
		: [...Buffer.from(message)]
				.map((byte) =>
					byte >= 0x20 && byte <= 0x7e && byte !== 0x25
						? String.fromCharCode(byte)
						: `%${byte.toString(16).toUpperCase().padStart(2, "0")}`,
				)
				.join("");
}
