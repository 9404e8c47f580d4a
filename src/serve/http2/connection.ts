/**
 * The server's side of an HTTP/2 connection (RFC 9113) on a unix socket, for requests that are taken whole.
 *
 * What is small goes out in one write, headers, message and trailers together, so that the other side wakes up once.
 * Whoever breaks the protocol loses the connection and is told why (GOAWAY).
 */
import type net from "node:net";
import { areTrailers, requestOf } from "./fields.ts";
import {
	ConnectionError,
	content,
	ErrorCode,
	Flag,
	type Frame,
	FrameReader,
	FrameType,
	frameOf,
	mustBeOfConnection,
	mustHave,
	uint32,
} from "./frames.ts";
import { HEADER_LIST_BYTES_MAX, HeaderBlocks, type HeaderList } from "./header-blocks.ts";
import { HpackError } from "./hpack.ts";
import { Outgoing } from "./outgoing.ts";
import { readSettings, Setting, settingsPayload, WINDOW_BYTES_MAX } from "./settings.ts";
import { ServerStream, type StreamWire } from "./stream.ts";

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
/** Until the other side says otherwise, and for the connection always to begin with. */
const DEFAULT_WINDOW_BYTES = 65_535;
/** Messages of some megabytes come without a round trip for every 64 KiB. */
const WINDOW_BYTES = 1 << 20;
const STREAMS_MAX = 1000;
/** What may wait to be sent of answers that nobody asked a window for: settings, pings, resets. */
const CONTROL_BYTES_MAX = 1 << 20;
/** More is not kept back for a single write: only what was written can be seen not to be read. */
const BATCH_BYTES_MAX = 64 * 1024;

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
const NOTHING = Buffer.alloc(0);
const SETTINGS_ACK = frameOf(FrameType.SETTINGS, Flag.ACK, 0, NOTHING);

export interface ConnectionOptions {
	/** Called once the headers of a request are there; its body comes later. */
	readonly onStream: (stream: ServerStream) => void;
	/** What a connection holds of requests that are not whole yet; more ends it. */
	readonly unreadBytesMax: number;
	/** Called with why, when the connection breaks. */
	readonly onBroken: (error: Error) => void;
	readonly onClose: () => void;
}

export class ServerConnection implements StreamWire {
	readonly #socket: net.Socket;
	readonly #options: ConnectionOptions;
	readonly #frames = new FrameReader();
	readonly #blocks = new HeaderBlocks();
	readonly #out: Outgoing;
	readonly #streams = new Map<number, ServerStream>();
	/** What of the preface is still to come. */
	#preface: Buffer = PREFACE;
	#settingsSeen = false;
	#lastStreamId = 0;
	#draining = false;
	#ended = false;
	/** What may be sent: on the connection, and at first on a stream. */
	#sendWindow = DEFAULT_WINDOW_BYTES;
	#streamWindow = DEFAULT_WINDOW_BYTES;
	/** Whether streams may send more since the last read, and whether requests have grown. */
	#isWider = false;
	#hasParts = false;
	/** What came since the connection's window was last opened. */
	#takenBytes = 0;
	#isReading = false;

	constructor(socket: net.Socket, options: ConnectionOptions) {
		this.#socket = socket;
		this.#options = options;
		this.#out = new Outgoing(socket);
		this.#out.addFrame(SETTINGS);
		this.#out.addFrame(WIDER_WINDOW);
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
		this.#out.add(type, flags, streamId, payload);
	}

	flush(): void {
		// All that comes of one read goes out in one write, unless it is much.
		if (!this.#isReading || this.#out.bytes > BATCH_BYTES_MAX) this.#writeOut();
	}

	closed(stream: ServerStream): void {
		this.#streams.delete(stream.id);
		this.#endWhenDone();
	}

	#writeOut(): void {
		if (!this.#ended) this.#out.write();
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
			this.#afterFrames();
		} catch (error) {
			this.#breakOff(error);
		} finally {
			this.#isReading = false;
		}
	}

	/** What is done once for all that came in a read. */
	#afterFrames(): void {
		if (this.#isWider) {
			this.#isWider = false;
			this.#wakeAll();
		}
		if (this.#hasParts) {
			this.#hasParts = false;
			this.#mustNotHoldTooMuch();
		}
		this.#writeOut();
		if (this.#socket.writableLength > CONTROL_BYTES_MAX + this.#options.unreadBytesMax) {
			throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "the other side does not read what it is sent");
		}
	}

	#breakOff(error: unknown): void {
		const code =
			error instanceof ConnectionError
				? error.code
				: error instanceof HpackError
					? ErrorCode.COMPRESSION_ERROR
					: undefined;
		if (code === undefined) {
			// Frames of this read were not looked at: what comes after them makes no sense any more.
			this.#socket.destroy();
			throw error;
		}
		const told = error instanceof Error ? error : new Error(String(error));
		this.#options.onBroken(told);
		const last = uint32(this.#lastStreamId, code);
		this.send(FrameType.GOAWAY, 0, 0, Buffer.concat([last, Buffer.from(told.message)]));
		this.#end();
		// Who does not read is not waited for.
		if (this.#socket.writableLength > 0) this.#socket.destroy();
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
		const unfinished = this.#blocks.streamId;
		if (unfinished !== undefined && (type !== FrameType.CONTINUATION || streamId !== unfinished)) {
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
				this.#beginBlock(streamId, (flags & Flag.END_STREAM) !== 0);
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
				if ((flags & Flag.ACK) === 0) this.#out.addLater(frameOf(FrameType.PING, Flag.ACK, 0, payload));
				break;
			case FrameType.WINDOW_UPDATE:
				mustHave(frame, 4);
				this.#widen(streamId, payload.readUInt32BE(0) & WINDOW_BYTES_MAX);
				break;
			case FrameType.PRIORITY:
				mustHave(frame, 5);
				if (streamId === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "the frame is for a stream");
				break;
			case FrameType.GOAWAY:
				// It opens no more streams, then, and closes the connection when it wants to.
				mustBeOfConnection(streamId);
				if (payload.length < 8) mustHave(frame, 8);
				break;
			case FrameType.PUSH_PROMISE:
				throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "clients do not push");
			default:
			// Of a kind that came later: to be ignored (section 4.1).
		}
	}

	#takeData(frame: Frame): void {
		const { flags, streamId, payload } = frame;
		this.#mustBeKnown(streamId);
		// Padding counts, and so does what nobody wants any more. As it is opened again at the half, no frame is too
		// long for the window.
		this.#takenBytes += payload.length;
		if (this.#takenBytes >= WINDOW_BYTES / 2) {
			this.send(FrameType.WINDOW_UPDATE, 0, 0, uint32(this.#takenBytes));
			this.#takenBytes = 0;
		}
		const body = content(frame);
		const stream = this.#streams.get(streamId);
		if (stream === undefined) return;
		const isLast = (flags & Flag.END_STREAM) !== 0;
		stream.take(body, { windowBytes: payload.length, isLast });
		if (!isLast) this.#hasParts = true;
	}

	#mustNotHoldTooMuch(): void {
		let unreadBytes = 0;
		for (const stream of this.#streams.values()) unreadBytes += stream.unreadBytes;
		if (unreadBytes > this.#options.unreadBytesMax) {
			throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "too many requests are unfinished at once");
		}
	}

	#beginBlock(streamId: number, endStream: boolean): void {
		if (streamId % 2 === 0) {
			throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `a client cannot open stream ${streamId}`);
		}
		// Trailers of a request are possible, and must be its end.
		if (streamId <= this.#lastStreamId && !endStream) {
			throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `headers came again on stream ${streamId}`);
		}
		this.#blocks.begin(streamId, endStream);
	}

	#takeBlock(part: Buffer, isLast: boolean): void {
		const list = this.#blocks.take(part, isLast);
		if (list === undefined) return;
		if (list.streamId > this.#lastStreamId) this.#open(list);
		else this.#takeTrailers(list);
	}

	#open({ streamId, endStream, fields }: HeaderList): void {
		if (this.#draining || this.#streams.size >= STREAMS_MAX) {
			// After GOAWAY streams are not counted: the client knows that they were not looked at.
			if (!this.#draining) this.#lastStreamId = streamId;
			this.send(FrameType.RST_STREAM, 0, streamId, uint32(ErrorCode.REFUSED_STREAM));
			return;
		}
		this.#lastStreamId = streamId;
		const request = requestOf(fields);
		if (request === undefined) {
			this.send(FrameType.RST_STREAM, 0, streamId, uint32(ErrorCode.PROTOCOL_ERROR));
			return;
		}
		const stream = new ServerStream(this, streamId, request, {
			sendWindow: this.#streamWindow,
			receiveWindow: WINDOW_BYTES,
			isWhole: endStream,
		});
		this.#streams.set(streamId, stream);
		this.#options.onStream(stream);
		if (endStream) stream.handOver();
	}

	#takeTrailers({ streamId, fields }: HeaderList): void {
		const stream = this.#streams.get(streamId);
		if (areTrailers(fields)) {
			stream?.take(NOTHING, { windowBytes: 0, isLast: true });
		} else if (stream !== undefined) {
			stream.reset(ErrorCode.PROTOCOL_ERROR);
		} else {
			throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `stream ${streamId} cannot be opened any more`);
		}
	}

	#takeSettings(frame: Frame): void {
		const { flags, streamId, payload } = frame;
		mustBeOfConnection(streamId);
		if ((flags & Flag.ACK) !== 0) {
			mustHave(frame, 0);
			return;
		}
		const { windowBytes = this.#streamWindow, tableBytesMin } = readSettings(payload);
		this.#settingsSeen = true;
		this.#out.limitTable(tableBytesMin);
		this.#out.addFrame(SETTINGS_ACK);
		const change = windowBytes - this.#streamWindow;
		if (change === 0) return;
		this.#streamWindow = windowBytes;
		for (const stream of this.#streams.values()) {
			if (!stream.widen(change)) {
				throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "a window is too large");
			}
		}
		this.#isWider = true;
	}

	#widen(streamId: number, bytes: number): void {
		if (streamId !== 0) this.#mustBeKnown(streamId);
		const stream = this.#streams.get(streamId);
		if (bytes === 0) {
			if (streamId === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "a window opens by nothing");
			stream?.reset(ErrorCode.PROTOCOL_ERROR);
		} else if (streamId === 0) {
			// Nobody waits for a window that was open.
			if (this.#sendWindow <= 0) this.#isWider = true;
			this.#sendWindow += bytes;
			if (this.#sendWindow > WINDOW_BYTES_MAX) {
				throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "a window is too large");
			}
		} else if (stream !== undefined) {
			if (stream.widen(bytes)) stream.wake();
			else stream.reset(ErrorCode.FLOW_CONTROL_ERROR);
		}
	}

	#wakeAll(): void {
		for (const stream of [...this.#streams.values()]) stream.wake();
	}

	/** Frames for a stream that ended may still come; for one that was never opened they make no sense. */
	#mustBeKnown(streamId: number): void {
		if (streamId % 2 === 0 || (streamId > this.#lastStreamId && !this.#draining)) {
			throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `stream ${streamId} was never opened`);
		}
	}
}
