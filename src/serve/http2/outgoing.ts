/** Frames on their way out: kept until they go in one write, so that the other side wakes up once. */
import type net from "node:net";
import { Flag, FRAME_BYTES_MAX, FrameType, frameOf } from "./frames.ts";
import { TABLE_BYTES_MAX, TABLE_EMPTIED } from "./hpack.ts";

/** How long an answer waits that nobody is in a hurry for, and how many of them. */
const LATER_MS = 5;
const LATER_MAX = 8;

export class Outgoing {
	readonly #socket: net.Socket;
	#frames: Buffer[] = [];
	#bytes = 0;
	/** What goes out with the next write, or by itself in a while. */
	#later: Buffer[] = [];
	#timer: NodeJS.Timeout | undefined;
	/** The other side's table of headers, which nothing is put in: how large it may think it is, and whether it knows. */
	#tableBytes = TABLE_BYTES_MAX;
	#tableIsRight = true;

	constructor(socket: net.Socket) {
		this.#socket = socket;
	}

	/** What waits for `write`. */
	get bytes(): number {
		return this.#bytes;
	}

	/** The other side wants to keep no larger table. */
	limitTable(bytes: number): void {
		if (bytes >= this.#tableBytes) return;
		this.#tableBytes = 0;
		this.#tableIsRight = false;
	}

	/** Of HEADERS the payload may have any length, and `flags` have END_HEADERS. */
	add(type: number, flags: number, streamId: number, payload: Uint8Array): void {
		if (type === FrameType.HEADERS && !(this.#tableIsRight && payload.length <= FRAME_BYTES_MAX)) {
			this.#addLongBlock(flags, streamId, payload);
		} else {
			this.addFrame(frameOf(type, flags, streamId, payload));
		}
	}

	addFrame(frame: Buffer): void {
		this.#frames.push(frame);
		this.#bytes += frame.length;
	}

	/**
	 * For what is no part of an answer: gRPC's clients ping after each message to measure the way, and waking them up for
	 * that while they pass the message on would make them slower.
	 */
	addLater(frame: Buffer): void {
		this.#later.push(frame);
		if (this.#later.length >= LATER_MAX) this.#addThoseLater();
		else if (this.#timer === undefined) this.#timer = setTimeout(() => this.#writeLater(), LATER_MS).unref();
	}

	write(): void {
		if (this.#frames.length === 0) return;
		this.#addThoseLater();
		const [first] = this.#frames;
		const bytes = this.#frames.length === 1 && first !== undefined ? first : Buffer.concat(this.#frames);
		this.#frames = [];
		this.#bytes = 0;
		this.#socket.write(bytes);
	}

	#addThoseLater(): void {
		for (const frame of this.#later) this.addFrame(frame);
		this.#later = [];
	}

	#writeLater(): void {
		this.#timer = undefined;
		this.#addThoseLater();
		if (this.#socket.writable) this.write();
	}

	/** A header block that has to say something of the table first, or is too long for a frame. */
	#addLongBlock(flags: number, streamId: number, fields: Uint8Array): void {
		const block = this.#tableIsRight ? fields : Buffer.concat([TABLE_EMPTIED, fields]);
		this.#tableIsRight = true;
		for (let at = 0; at < block.length; at += FRAME_BYTES_MAX) {
			const end = at + FRAME_BYTES_MAX;
			const type = at === 0 ? FrameType.HEADERS : FrameType.CONTINUATION;
			const kept = at === 0 ? flags & ~Flag.END_HEADERS : 0;
			const last = end < block.length ? 0 : Flag.END_HEADERS;
			this.addFrame(frameOf(type, kept | last, streamId, block.subarray(at, end)));
		}
	}
}
