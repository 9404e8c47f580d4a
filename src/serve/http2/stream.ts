/** One request and its answer on an HTTP/2 connection. */
import { ErrorCode, Flag, FRAME_BYTES_MAX, FrameType, uint32 } from "./frames.ts";
import { WINDOW_BYTES_MAX } from "./settings.ts";

/** About what a part of a body takes in memory, besides its bytes. */
const PART_BYTES = 128;

/** What a stream sends through. */
export interface StreamWire {
	/** How many bytes of messages the connection may send yet. */
	readonly sendWindow: number;
	/** Whether the socket takes more without keeping it in memory. */
	readonly canSend: boolean;
	/** Puts a frame behind those that go out with the next `flush`. */
	send(type: number, flags: number, streamId: number, payload: Uint8Array): void;
	flush(): void;
	/** The stream is over, and nothing more is sent on it. */
	closed(stream: ServerStream): void;
}

interface Beginning {
	sendWindow: number;
	receiveWindow: number;
	/** Whether the request is all headers. */
	isWhole: boolean;
}

interface Taken {
	/** What counts against the window, which is the bytes and their padding. */
	readonly windowBytes: number;
	readonly isLast: boolean;
}

export class ServerStream {
	readonly id: number;
	/** The request's headers, names in lower case; of several of a name the last. */
	readonly headers: ReadonlyMap<string, string>;
	/** Called with the body, once it is whole. */
	onRequest: (body: Buffer) => void = () => undefined;
	/** Called when the body has more than `bodyBytesMax`; the rest is thrown away. */
	onTooLong: () => void = () => undefined;
	/** Called when the other side gave up, or is gone, before the answer had ended. */
	onLost: () => void = () => undefined;
	bodyBytesMax: number = Number.POSITIVE_INFINITY;
	readonly #wire: StreamWire;
	/** The windows, and whether all of the request is there. */
	readonly #state: Beginning;
	#body: Buffer[] = [];
	#bodyBytes = 0;
	/** What came since the window was last opened. */
	#owedBytes = 0;
	/** What of the answer waits for a window. */
	#queue: Uint8Array[] = [];
	#trailers: Uint8Array | undefined;
	#isClosed = false;
	#waiting: (() => void)[] = [];

	constructor(wire: StreamWire, id: number, headers: ReadonlyMap<string, string>, state: Beginning) {
		this.#wire = wire;
		this.id = id;
		this.headers = headers;
		this.#state = state;
	}

	/** What is held of a request that is not whole yet. */
	get unreadBytes(): number {
		return this.#state.isWhole ? 0 : this.#bodyBytes + PART_BYTES * this.#body.length;
	}

	/** Sends the headers of the answer, as a header block; with `end` they are all of it. */
	respond(block: Uint8Array, { end = false }: { readonly end?: boolean } = {}): void {
		if (this.#isClosed) return;
		this.#wire.send(FrameType.HEADERS, Flag.END_HEADERS | (end ? Flag.END_STREAM : 0), this.id, block);
		if (end) this.#finish();
		this.#wire.flush();
	}

	/** Sends the headers, a message and the trailers of an answer. */
	answer(headers: Uint8Array, message: Uint8Array, trailers: Uint8Array): void {
		if (this.#isClosed) return;
		this.#wire.send(FrameType.HEADERS, Flag.END_HEADERS, this.id, headers);
		this.#queue.push(message);
		this.#trailers = trailers;
		this.wake();
	}

	/** Sends a part of the answer; false where that fills a buffer, and `writable` should be waited for. */
	write(message: Uint8Array): boolean {
		if (this.#isClosed) return true;
		this.#queue.push(message);
		this.wake();
		return this.#isWritable;
	}

	/** Resolves when more can be sent, or nothing ever. */
	writable(): Promise<void> {
		if (this.#isWritable) return Promise.resolve();
		return new Promise((resolve) => {
			this.#waiting.push(resolve);
		});
	}

	/** Ends the answer with a header block of trailers, after what still waits. */
	end(trailers: Uint8Array): void {
		if (this.#isClosed) return;
		this.#trailers = trailers;
		this.wake();
	}

	reset(code: ErrorCode): void {
		if (this.#isClosed) return;
		this.#wire.send(FrameType.RST_STREAM, 0, this.id, uint32(code));
		this.lost();
		this.#wire.flush();
	}

	/** Part of the request. */
	take(bytes: Buffer, { windowBytes, isLast }: Taken): void {
		if (this.#isClosed) return;
		if (this.#state.isWhole) {
			this.reset(ErrorCode.STREAM_CLOSED);
			return;
		}
		this.#state.receiveWindow -= windowBytes;
		if (this.#state.receiveWindow < 0) {
			this.reset(ErrorCode.FLOW_CONTROL_ERROR);
			return;
		}
		if (bytes.length > 0) {
			this.#body.push(bytes);
			this.#bodyBytes += bytes.length;
		}
		this.#state.isWhole = isLast;
		if (this.#bodyBytes > this.bodyBytesMax) {
			this.onTooLong();
		} else if (isLast) {
			this.handOver();
		} else {
			this.#owedBytes += windowBytes;
			if (this.#owedBytes > this.#state.receiveWindow) this.#openWindow();
		}
	}

	/** The request is whole. */
	handOver(): void {
		if (this.#isClosed) return;
		const [first] = this.#body;
		const body = this.#body.length === 1 && first !== undefined ? first : Buffer.concat(this.#body);
		this.#body = [];
		this.onRequest(body);
	}

	/** Opens the window for what is sent once it wakes, or closes it a little; false where it would be too large. */
	widen(bytes: number): boolean {
		this.#state.sendWindow += bytes;
		return this.#state.sendWindow <= WINDOW_BYTES_MAX;
	}

	/** Sends what there is a window for. */
	wake(): void {
		if (this.#isClosed) return;
		this.#sendQueue();
		if (this.#queue.length === 0 && this.#trailers !== undefined) {
			const flags = Flag.END_HEADERS | Flag.END_STREAM;
			this.#wire.send(FrameType.HEADERS, flags, this.id, this.#trailers);
			this.#finish();
		}
		this.#wire.flush();
		if (this.#isWritable) this.#release();
	}

	/** The other side gave up, or is gone. */
	lost(): void {
		if (this.#isClosed) return;
		this.#close();
		this.onLost();
	}

	get #isWritable(): boolean {
		return this.#isClosed || (this.#queue.length === 0 && this.#wire.canSend);
	}

	#openWindow(): void {
		this.#wire.send(FrameType.WINDOW_UPDATE, 0, this.id, uint32(this.#owedBytes));
		this.#state.receiveWindow += this.#owedBytes;
		this.#owedBytes = 0;
	}

	#sendQueue(): void {
		for (;;) {
			const [message] = this.#queue;
			if (message === undefined) return;
			// A window that was made smaller can be less than nothing.
			const window = Math.max(0, Math.min(this.#wire.sendWindow, this.#state.sendWindow));
			const bytes = Math.min(message.length, FRAME_BYTES_MAX, window);
			if (bytes === 0 && message.length > 0) return;
			this.#state.sendWindow -= bytes;
			this.#wire.send(FrameType.DATA, 0, this.id, message.subarray(0, bytes));
			if (bytes === message.length) this.#queue.shift();
			else this.#queue[0] = message.subarray(bytes);
		}
	}

	#finish(): void {
		// Of a request that is answered before it has all come, the rest is not wanted.
		if (!this.#state.isWhole) this.#wire.send(FrameType.RST_STREAM, 0, this.id, uint32(ErrorCode.NO_ERROR));
		this.#close();
	}

	#close(): void {
		this.#isClosed = true;
		this.#queue = [];
		this.#wire.closed(this);
		this.#body = [];
		this.#release();
	}

	#release(): void {
		if (this.#waiting.length === 0) return;
		for (const resolve of this.#waiting.splice(0)) resolve();
	}
}
