/**
 * The server's side of an HTTP/2 connection (RFC 9113) on a unix socket, for requests that are taken whole.
 *
 * What is small goes out in one write, headers, message and trailers together, so that the other side wakes up once.
 * Whoever breaks the protocol loses the connection and is told why (GOAWAY).
 */
import type net from "node:net";
import {
	ConnectionError,
	content,
	ErrorCode,
	Flag,
	FRAME_BYTES_MAX,
	type Frame,
	FrameReader,
	FrameType,
	frameOf,
	Setting,
	settingsPayload,
	uint32,
} from "./frames.ts";
import { bytesOf, HpackDecoder, HpackError } from "./hpack.ts";
import { ServerStream, type StreamWire } from "./stream.ts";

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
/** Until the other side says otherwise, and for the connection always to begin with. */
const DEFAULT_WINDOW_BYTES = 65_535;
const WINDOW_BYTES_MAX = 2 ** 31 - 1;
/** Messages of some megabytes come without a round trip for every 64 KiB. */
const WINDOW_BYTES = 1 << 20;
const STREAMS_MAX = 1000;
const HEADER_LIST_BYTES_MAX = 64 * 1024;
/** What may wait to be sent of answers that nobody asked a window for: settings, pings, resets. */
const CONTROL_BYTES_MAX = 1 << 20;

const SETTINGS = frameOf(
	FrameType.SETTINGS,
	0,
	0,
	settingsPayload([
		[Setting.MAX_CONCURRENT_STREAMS, STREAMS_MAX],
		[Setting.INITIAL_WINDOW_SIZE, WINDOW_BYTES],
		[Setting.MAX_HEADER_LIST_SIZE, HEADER_LIST_BYTES_MAX],
	]),
);
const WIDER_WINDOW = frameOf(FrameType.WINDOW_UPDATE, 0, 0, uint32(WINDOW_BYTES - DEFAULT_WINDOW_BYTES));
const SETTINGS_ACK = frameOf(FrameType.SETTINGS, Flag.ACK, 0, Buffer.alloc(0));

export interface ConnectionOptions {
	/** Called once the headers of a request are there; its body comes later. */
	readonly onStream: (stream: ServerStream) => void;
	/** What a connection holds of requests that are not whole yet; more ends it. */
	readonly unreadBytesMax: number;
	/** Called with why, when the connection breaks. */
	readonly onBroken: (error: Error) => void;
	readonly onClose: () => void;
}

/** A header block that is not whole yet. */
interface HeaderBlock {
	readonly streamId: number;
	readonly endStream: boolean;
	readonly parts: Buffer[];
	bytes: number;
}

export class ServerConnection implements StreamWire {
	readonly #socket: net.Socket;
	readonly #options: ConnectionOptions;
	readonly #frames = new FrameReader();
	readonly #hpack = new HpackDecoder();
	readonly #streams = new Map<number, ServerStream>();
	/** What of the preface is still to come. */
	#preface: Buffer = PREFACE;
	#settingsSeen = false;
	#block: HeaderBlock | undefined;
	#lastStreamId = 0;
	#draining = false;
	#ended = false;
	/** What may be sent: on the connection, and at first on a stream. */
	#sendWindow = DEFAULT_WINDOW_BYTES;
	#streamWindow = DEFAULT_WINDOW_BYTES;
	/** What came since the connection's window was last opened. */
	#takenBytes = 0;
	#out: Buffer[] = [];
	#isReading = false;

	constructor(socket: net.Socket, options: ConnectionOptions) {
		this.#socket = socket;
		this.#options = options;
		this.#out.push(SETTINGS, WIDER_WINDOW);
		this.flush();
		socket.on("data", (chunk: Buffer) => this.#read(chunk));
		socket.on("drain", () => this.#wakeAll());
		socket.on("error", (error) => options.onBroken(error));
		// The other side wants nothing more; what it asked before is answered to nobody.
		socket.on("end", () => socket.destroy());
		socket.on("close", () => {
			this.#ended = true;
			for (const stream of [...this.#streams.values()]) stream.lost();
			options.onClose();
		});
	}

	/** Takes no more requests; the connection ends when those under way are answered. */
	drain(): void {
		if (this.#draining) return;
		this.#draining = true;
		this.send(FrameType.GOAWAY, 0, 0, uint32(this.#lastStreamId, ErrorCode.NO_ERROR));
		this.flush();
		this.#endWhenDone();
	}

	destroy(): void {
		this.#socket.destroy();
	}

	get canSend(): boolean {
		return !this.#socket.writableNeedDrain;
	}

	get sendWindow(): number {
		return this.#sendWindow;
	}

	send(type: number, flags: number, streamId: number, payload: Uint8Array): void {
		if (this.#ended) return;
		if (type === FrameType.DATA) this.#sendWindow -= payload.length;
		this.#out.push(frameOf(type, flags, streamId, payload));
	}

	flush(): void {
		// All that comes of one read goes out in one write.
		if (!this.#isReading) this.#writeOut();
	}

	closed(stream: ServerStream): void {
		this.#streams.delete(stream.id);
		this.#endWhenDone();
	}

	#writeOut(): void {
		if (this.#out.length === 0) return;
		const [first] = this.#out;
		const bytes = this.#out.length === 1 && first !== undefined ? first : Buffer.concat(this.#out);
		this.#out = [];
		if (!this.#ended) this.#socket.write(bytes);
	}

	#endWhenDone(): void {
		if (this.#draining && this.#streams.size === 0) this.#end();
	}

	#end(): void {
		if (this.#ended) return;
		this.#writeOut();
		this.#ended = true;
		this.#socket.end(() => this.#socket.destroy());
	}

	#read(chunk: Buffer): void {
		if (this.#ended) return;
		this.#isReading = true;
		try {
			for (const frame of this.#frames.read(this.#afterPreface(chunk))) {
				this.#take(frame);
				if (this.#ended) return;
			}
			this.#isReading = false;
			this.flush();
			if (this.#socket.writableLength > CONTROL_BYTES_MAX + this.#options.unreadBytesMax) {
				throw new ConnectionError(
					ErrorCode.ENHANCE_YOUR_CALM,
					"the other side does not read what it is sent",
				);
			}
		} catch (error) {
			this.#breakOff(error);
		} finally {
			this.#isReading = false;
		}
	}

	#breakOff(error: unknown): void {
		const code =
			error instanceof ConnectionError
				? error.code
				: error instanceof HpackError
					? ErrorCode.COMPRESSION_ERROR
					: undefined;
		if (code === undefined) throw error;
		const told = error instanceof Error ? error : new Error(String(error));
		this.#options.onBroken(told);
		const last = uint32(this.#lastStreamId, code);
		this.send(FrameType.GOAWAY, 0, 0, Buffer.concat([last, Buffer.from(told.message)]));
		this.#end();
	}

	#afterPreface(chunk: Buffer): Buffer {
		const expected = this.#preface.length;
		if (expected === 0) return chunk;
		const come = Math.min(chunk.length, expected);
		if (!chunk.subarray(0, come).equals(this.#preface.subarray(0, come))) {
			throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "this is not HTTP/2");
		}
		this.#preface = this.#preface.subarray(come);
		return chunk.subarray(come);
	}

	#take(frame: Frame): void {
		const { type, flags, streamId, payload } = frame;
		if (this.#block !== undefined && (type !== FrameType.CONTINUATION || streamId !== this.#block.streamId)) {
			throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "a header block was interrupted");
		}
		if (!this.#settingsSeen && type !== FrameType.SETTINGS) {
			throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS");
		}
		switch (type) {
			case FrameType.DATA:
				this.#takeData(frame);
				break;
			case FrameType.HEADERS:
				this.#takeHeaders(streamId, (flags & Flag.END_STREAM) !== 0);
				this.#takeBlock(content(frame), (flags & Flag.END_HEADERS) !== 0);
				break;
			case FrameType.CONTINUATION:
				this.#takeBlock(payload, (flags & Flag.END_HEADERS) !== 0);
				break;
			case FrameType.RST_STREAM:
				mustHave(frame, 4);
				this.#mustBeKnown(streamId);
				this.#streams.get(streamId)?.lost();
				break;
			case FrameType.SETTINGS:
				this.#takeSettings(frame);
				break;
			case FrameType.PING:
				mustHave(frame, 8);
				mustBeOfConnection(streamId);
				if ((flags & Flag.ACK) === 0) this.send(FrameType.PING, Flag.ACK, 0, payload);
				break;
			case FrameType.WINDOW_UPDATE:
				mustHave(frame, 4);
				this.#widen(streamId, payload.readUInt32BE(0) & WINDOW_BYTES_MAX);
				break;
			case FrameType.PRIORITY:
				mustHave(frame, 5);
				mustBeOfStream(streamId);
				break;
			case FrameType.GOAWAY:
				mustBeOfConnection(streamId);
				break;
			case FrameType.PUSH_PROMISE:
				throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "clients do not push");
			default:
			// Of a kind that came later: to be ignored (section 4.1).
		}
	}

	#takeData(frame: Frame): void {
		const { flags, streamId, payload } = frame;
		mustBeOfStream(streamId);
		this.#mustBeKnown(streamId);
		// Padding counts, and so does what nobody wants any more.
		this.#takenBytes += payload.length;
		if (this.#takenBytes > WINDOW_BYTES) {
			throw new ConnectionError(
				ErrorCode.FLOW_CONTROL_ERROR,
				"more came than the connection's window allows",
			);
		}
		if (this.#takenBytes >= WINDOW_BYTES / 2) {
			this.send(FrameType.WINDOW_UPDATE, 0, 0, uint32(this.#takenBytes));
			this.#takenBytes = 0;
		}
		const body = content(frame);
		const stream = this.#streams.get(streamId);
		if (stream === undefined) return;
		const isLast = (flags & Flag.END_STREAM) !== 0;
		stream.take(body, { windowBytes: payload.length, isLast });
		if (!isLast) this.#mustNotHoldTooMuch();
	}

	#mustNotHoldTooMuch(): void {
		let unreadBytes = 0;
		for (const stream of this.#streams.values()) unreadBytes += stream.unreadBytes;
		if (unreadBytes > this.#options.unreadBytesMax) {
			throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "too many requests are unfinished at once");
		}
	}

	#takeHeaders(streamId: number, endStream: boolean): void {
		mustBeOfStream(streamId);
		const stream = this.#streams.get(streamId);
		if (streamId <= this.#lastStreamId) {
			// Trailers of a request are possible, and must be its end.
			if (stream !== undefined && !endStream) {
				throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "headers came twice on a stream");
			}
		} else if (streamId % 2 === 0) {
			throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `a client cannot open stream ${streamId}`);
		}
		this.#block = { streamId, endStream, parts: [], bytes: 0 };
	}

	#takeBlock(part: Buffer, isLast: boolean): void {
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
		if (!isLast) return;
		this.#block = undefined;
		const [first] = block.parts;
		const bytes = block.parts.length === 1 && first !== undefined ? first : Buffer.concat(block.parts);
		this.#open(block, this.#fieldsIn(bytes));
	}

	/** The block has to be decoded whatever becomes of the stream: the table lives on. */
	#fieldsIn(block: Buffer): ReadonlyMap<string, string> | undefined {
		const fields = new Map<string, string>();
		let listBytes = 0;
		let isWellFormed = true;
		for (const field of this.#hpack.decode(block)) {
			const [name, value] = field;
			listBytes += bytesOf(field);
			if (listBytes > HEADER_LIST_BYTES_MAX) {
				throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "a header list is too long");
			}
			if (name.startsWith(":") && fields.has(name)) isWellFormed = false;
			fields.set(name, value);
		}
		return isWellFormed && fields.has(":method") && fields.has(":path") ? fields : undefined;
	}

	#open({ streamId, endStream }: HeaderBlock, fields: ReadonlyMap<string, string> | undefined): void {
		if (streamId <= this.#lastStreamId) {
			this.#streams.get(streamId)?.take(Buffer.alloc(0), { windowBytes: 0, isLast: true });
			return;
		}
		if (this.#draining || this.#streams.size >= STREAMS_MAX) {
			// After GOAWAY streams are not counted: the client knows that they were not looked at.
			if (!this.#draining) this.#lastStreamId = streamId;
			this.send(FrameType.RST_STREAM, 0, streamId, uint32(ErrorCode.REFUSED_STREAM));
			return;
		}
		this.#lastStreamId = streamId;
		if (fields === undefined) {
			this.send(FrameType.RST_STREAM, 0, streamId, uint32(ErrorCode.PROTOCOL_ERROR));
			return;
		}
		const stream = new ServerStream(this, streamId, fields, {
			sendWindow: this.#streamWindow,
			receiveWindow: WINDOW_BYTES,
		});
		this.#streams.set(streamId, stream);
		this.#options.onStream(stream);
		if (endStream) stream.take(Buffer.alloc(0), { windowBytes: 0, isLast: true });
	}

	#takeSettings(frame: Frame): void {
		const { flags, streamId, payload } = frame;
		mustBeOfConnection(streamId);
		if ((flags & Flag.ACK) !== 0) {
			mustHave(frame, 0);
			return;
		}
		if (payload.length % 6 !== 0) {
			throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "settings have six bytes each");
		}
		this.#settingsSeen = true;
		for (let at = 0; at < payload.length; at += 6) {
			this.#set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
		}
		this.#out.push(SETTINGS_ACK);
	}

	#set(setting: number, value: number): void {
		if (setting === Setting.INITIAL_WINDOW_SIZE) {
			if (value > WINDOW_BYTES_MAX) {
				throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "a window is too large");
			}
			const change = value - this.#streamWindow;
			this.#streamWindow = value;
			for (const stream of [...this.#streams.values()]) stream.widen(change);
		} else if (setting === Setting.MAX_FRAME_SIZE && value < FRAME_BYTES_MAX) {
			throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "frames have to be allowed 16 KiB");
		} else if (setting === Setting.ENABLE_PUSH && value > 1) {
			throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "pushing is on or off");
		}
	}

	#widen(streamId: number, bytes: number): void {
		if (streamId !== 0) this.#mustBeKnown(streamId);
		const stream = this.#streams.get(streamId);
		if (bytes === 0) {
			if (streamId === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "a window opens by nothing");
			stream?.reset(ErrorCode.PROTOCOL_ERROR);
		} else if (streamId === 0) {
			this.#sendWindow += bytes;
			if (this.#sendWindow > WINDOW_BYTES_MAX) {
				throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "a window is too large");
			}
			this.#wakeAll();
		} else if (stream !== undefined && !stream.widen(bytes)) {
			stream.reset(ErrorCode.FLOW_CONTROL_ERROR);
		}
	}

	#wakeAll(): void {
		for (const stream of [...this.#streams.values()]) stream.wake();
	}

	/** Frames for a stream that ended may still come; for one that was never opened they make no sense. */
	#mustBeKnown(streamId: number): void {
		if (streamId > this.#lastStreamId && !this.#draining) {
			throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `stream ${streamId} was never opened`);
		}
	}
}

function mustHave({ type, payload }: Frame, bytes: number): void {
	if (payload.length === bytes) return;
	throw new ConnectionError(
		ErrorCode.FRAME_SIZE_ERROR,
		`a frame of type ${type} has ${payload.length} bytes, not ${bytes}`,
	);
}

function mustBeOfConnection(streamId: number): void {
	if (streamId !== 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "the frame is not for a stream");
}

function mustBeOfStream(streamId: number): void {
	if (streamId === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "the frame is for a stream");
}
