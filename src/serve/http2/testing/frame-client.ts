/** A client for tests that says on a socket exactly what it is told to, and keeps what it hears. */
import { once } from "node:events";
import net from "node:net";
import { type ErrorCode, Flag, type Frame, FrameReader, FrameType, frameOf } from "../frames.ts";
import { encodeHeaders, type HeaderField, HpackDecoder } from "../hpack.ts";
import { settingsPayload } from "../settings.ts";

export const PREFACE: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const NOTHING = Buffer.alloc(0);

export class FrameClient implements Disposable {
	readonly socket: net.Socket;
	readonly frames: Frame[] = [];
	/** The header blocks of each stream. */
	readonly fields: Map<number, HeaderField[][]> = new Map();
	isClosed = false;
	readonly #reader = new FrameReader();
	readonly #hpack = new HpackDecoder();
	#block: Buffer[] = [];
	readonly #watchers = new Set<() => void>();

	constructor(socket: net.Socket) {
		this.socket = socket;
		socket.on("data", (chunk: Buffer) => {
			for (const frame of this.#reader.read(chunk)) this.#hear(frame);
			for (const watch of this.#watchers) watch();
		});
		// The server may be gone before all is said.
		socket.on("error", () => undefined);
		socket.on("close", () => {
			this.isClosed = true;
			for (const watch of this.#watchers) watch();
		});
	}

	static async connect(path: string): Promise<FrameClient> {
		const socket = net.connect(path);
		await once(socket, "connect");
		return new FrameClient(socket);
	}

	[Symbol.dispose](): void {
		this.socket.destroy();
	}

	say(...parts: readonly Uint8Array[]): void {
		this.socket.write(Buffer.concat(parts));
	}

	greet(...settings: readonly (readonly [id: number, value: number])[]): void {
		this.say(PREFACE, frameOf(FrameType.SETTINGS, 0, 0, settingsPayload(settings)));
	}

	/** What `find` finds, as soon as it does. */
	until<T>(find: () => T | undefined): Promise<T> {
		return new Promise((resolve, reject) => {
			const watch = (): void => {
				const found = find();
				if (found === undefined && !this.isClosed) return;
				this.#watchers.delete(watch);
				if (found !== undefined) resolve(found);
				else reject(new Error(`the connection was closed (${this.#codeOfGoaway() ?? "no GOAWAY"})`));
			};
			this.#watchers.add(watch);
			watch();
		});
	}

	/** Waits until the server has looked at all that was said, and all has come that it says to it. */
	async heard(): Promise<void> {
		const isAck = ({ type, flags }: Frame): boolean => type === FrameType.PING && flags === Flag.ACK;
		const pings = this.frames.filter(isAck).length;
		// The first is answered before what else is said to the frames that came with it.
		for (const wanted of [pings + 1, pings + 2]) {
			this.say(frameOf(FrameType.PING, 0, 0, Buffer.alloc(8)));
			await this.until(() => this.frames.filter(isAck).length >= wanted || undefined);
		}
	}

	/** With what the server closed the connection. */
	async closedWith(): Promise<ErrorCode | undefined> {
		await this.until(() => this.isClosed || undefined);
		return this.#codeOfGoaway();
	}

	/** With what the server reset a stream, if it did. */
	resetOf(streamId: number): ErrorCode | undefined {
		const reset = this.frames.find(
			({ type, streamId: id }) => type === FrameType.RST_STREAM && id === streamId,
		);
		return reset && (reset.payload.readUInt32BE(0) as ErrorCode);
	}

	/** The body on a stream so far. */
	bodyOf(streamId: number): Buffer {
		return Buffer.concat(this.#dataOf(streamId).map(({ payload }) => payload));
	}

	bodyBytes(): number {
		return this.frames.reduce(
			(sum, { type, payload }) => sum + (type === FrameType.DATA ? payload.length : 0),
			0,
		);
	}

	/** The whole answer on a stream. */
	async answer(streamId: number): Promise<{ blocks: HeaderField[][]; body: Buffer }> {
		await this.until(
			() =>
				this.frames.some(
					({ type, flags, streamId: id }) =>
						id === streamId &&
						(type === FrameType.HEADERS || type === FrameType.DATA) &&
						(flags & Flag.END_STREAM) !== 0,
				) || undefined,
		);
		return { blocks: this.fields.get(streamId) ?? [], body: this.bodyOf(streamId) };
	}

	#dataOf(streamId: number): Frame[] {
		return this.frames.filter(({ type, streamId: id }) => type === FrameType.DATA && id === streamId);
	}

	#codeOfGoaway(): ErrorCode | undefined {
		const goaway = this.frames.findLast(({ type }) => type === FrameType.GOAWAY);
		return goaway && (goaway.payload.readUInt32BE(4) as ErrorCode);
	}

	#hear(frame: Frame): void {
		this.frames.push(frame);
		const { type, flags, streamId, payload } = frame;
		if (type !== FrameType.HEADERS && type !== FrameType.CONTINUATION) return;
		this.#block.push(payload);
		if ((flags & Flag.END_HEADERS) === 0) return;
		const blocks = this.fields.get(streamId) ?? [];
		blocks.push(this.#hpack.decode(Buffer.concat(this.#block)));
		this.fields.set(streamId, blocks);
		this.#block = [];
	}
}

export const REQUEST: readonly HeaderField[] = [
	[":method", "POST"],
	[":scheme", "http"],
	[":path", "/"],
	[":authority", "localhost"],
	["content-type", "application/test"],
	["te", "trailers"],
];

/** The headers of a request. */
export function headers(
	streamId: number,
	flags: number = Flag.END_HEADERS,
	fields: readonly HeaderField[] = REQUEST,
): Buffer {
	return frameOf(FrameType.HEADERS, flags, streamId, encodeHeaders(fields));
}

export function data(streamId: number, bytes: Uint8Array | string, flags = 0): Buffer {
	return frameOf(FrameType.DATA, flags, streamId, Buffer.from(bytes));
}

/** A request with a body that fits in a frame. */
export function request(streamId: number, body: Uint8Array | string = NOTHING): Buffer {
	return Buffer.concat([headers(streamId), data(streamId, body, Flag.END_STREAM)]);
}
