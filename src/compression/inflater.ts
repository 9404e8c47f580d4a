/**
 * One gzip stream's state in zlib, inflating on the thread pool into buffers that the caller owns.
 *
 * Node's public streams allocate every output chunk anew, which costs a third more CPU than inflating into the same
 * two buffers (bench/compression.ts). The binding below them takes the caller's buffers; its shape is the same
 * in Node 20 to 26 and asked for only there.
 */
import zlib from "node:zlib";

interface ZlibHandle {
	onerror: (message: string, errno: number, code: string) => void;
	init(
		windowBits: number,
		level: number,
		memLevel: number,
		strategy: number,
		writeState: Uint32Array,
		done: () => void,
		dictionary: undefined,
	): void;
	write(
		flush: number,
		input: Uint8Array,
		inputAt: number,
		inputLength: number,
		output: Uint8Array,
		outputAt: number,
		outputLength: number,
	): void;
	close(): void;
}

const GUNZIP = 4;
/** Wrong arguments would abort the process, so versions that nobody has tried take the public streams. */
const TRIED_MAJORS: ReadonlySet<number> = new Set([20, 21, 22, 23, 24, 25, 26]);

type HandleClass = new (mode: number) => ZlibHandle;

function findHandleClass(): HandleClass | undefined {
	const major = Number(process.versions.node.split(".")[0]);
	if (!TRIED_MAJORS.has(major) || process.versions.bun !== undefined) return undefined;
	const gunzip = zlib.createGunzip() as unknown as { _handle?: ZlibHandle; close(): void };
	const { _handle: handle } = gunzip;
	gunzip.close();
	if (typeof handle?.init !== "function" || handle.init.length !== 0) return undefined;
	return handle.constructor as HandleClass;
}

let handleClass: HandleClass | undefined | null = null;

/** Reads gzip members one after another, as gunzip does. */
export class Inflater {
	/** What the last `write` left: bytes of output that are free, bytes of input not taken. */
	readonly #state: Uint32Array = new Uint32Array(2);
	readonly #handle: ZlibHandle;
	#settle: { resolve: () => void; reject: (error: Error) => void } | undefined;

	/** `undefined` on a Node whose zlib binding is not known. */
	static create(): Inflater | undefined {
		if (handleClass === null) handleClass = findHandleClass();
		return handleClass === undefined ? undefined : new Inflater(new handleClass(GUNZIP));
	}

	private constructor(handle: ZlibHandle) {
		this.#handle = handle;
		handle.onerror = (message, _errno, code) => {
			this.#settle?.reject(Object.assign(new Error(message), { code }));
		};
		const { Z_DEFAULT_WINDOWBITS, Z_DEFAULT_LEVEL, Z_DEFAULT_MEMLEVEL, Z_DEFAULT_STRATEGY } = zlib.constants;
		const done = (): void => this.#settle?.resolve();
		handle.init(
			Z_DEFAULT_WINDOWBITS,
			Z_DEFAULT_LEVEL,
			Z_DEFAULT_MEMLEVEL,
			Z_DEFAULT_STRATEGY,
			this.#state,
			done,
			undefined,
		);
	}

	/** Bytes at the end of the last `write`'s input that it did not take. */
	get inputLeft(): number {
		return this.#state[1] ?? 0;
	}

	/** Bytes at the end of the last `write`'s output that are free. */
	get outputLeft(): number {
		return this.#state[0] ?? 0;
	}

	/** Inflates until the input is used up or the output full. Rejects with zlib's error. One at a time. */
	write(input: Uint8Array, output: Uint8Array, isLast: boolean): Promise<void> {
		return new Promise((resolve, reject) => {
			this.#settle = { resolve, reject };
			const flush = isLast ? zlib.constants.Z_FINISH : zlib.constants.Z_NO_FLUSH;
			this.#handle.write(flush, input, 0, input.length, output, 0, output.length);
		});
	}

	close(): void {
		this.#handle.close();
	}
}
