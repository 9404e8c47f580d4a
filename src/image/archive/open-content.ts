/**
 * Opens what a person gave: a layout directory, an archive, a compressed archive, or a stream of one. What cannot be read
 * at any offset is first written out plainly to a scratch directory of the store.
 */
import fs from "node:fs";
import path from "node:path";
import type { Readable } from "node:stream";
import { DETECT_BYTES, decompress, detectCompression } from "../../compression/index.ts";
import { LamellaError } from "../../errors/index.ts";
import type { ScratchDirectory } from "../../store/index.ts";
import type { ImageInput, ImageOperationOptions } from "../contract.ts";
import { asArchiveError } from "../failure.ts";
import { repositoryFromPath } from "../records/reference.ts";
import type { ImageContent } from "./content.ts";
import { LayoutDirectory } from "./layout-directory.ts";
import { TarArchive } from "./tar-archive.ts";

/** gzip cannot do more than about 1030; zstd could fill any disk from a few kilobytes. */
const MAX_RATIO = 2000;
const READ_BYTES = 1 << 20;

export interface OpenContentOptions extends ImageOperationOptions {
	/** Asked for only where the archive has to be written out. The content does not dispose of it. */
	readonly scratch: () => Promise<ScratchDirectory>;
}

/**
 * "-" is standard input.
 * @throws {LamellaError} `ENOTFOUND`, `EPERMISSION`, `EARCHIVE`, `ETAR`, `ECOMPRESSION`, `ENOSPACE`, `EABORTED`
 */
export async function openContent(input: ImageInput, options: OpenContentOptions): Promise<ImageContent> {
	if (input === "-") return spool(process.stdin, undefined, { name: "standard input" }, options);
	if (typeof input !== "string") return spool(input, undefined, { name: "the stream" }, options);
	const source = { name: input, repository: repositoryFromPath(input) };
	try {
		const stat = await fs.promises.stat(input);
		if (stat.isDirectory()) return new LayoutDirectory(input);
		// A FIFO or /dev/stdin: it can be read once, from its beginning.
		if (!stat.isFile()) return await spool(fs.createReadStream(input), undefined, source, options);
		const fd = fs.openSync(input, "r");
		const head = Buffer.alloc(DETECT_BYTES);
		const count = fs.readSync(fd, head, 0, DETECT_BYTES, 0);
		if (detectCompression(head.subarray(0, count)) === "none") {
			return TarArchive.open(fd, input, source.repository);
		}
		const stream = fs.createReadStream("", { fd, start: 0, highWaterMark: READ_BYTES });
		return await spool(stream, stat.size, source, options);
	} catch (error) {
		throw asArchiveError(error, `read ${input}`);
	}
}

/** Writes the archive out without its compression, and opens it there. The stream is destroyed where that fails. */
async function spool(
	stream: Readable,
	totalBytes: number | undefined,
	source: { readonly name: string; readonly repository?: string | undefined },
	options: OpenContentOptions,
): Promise<ImageContent> {
	const { signal, onProgress } = options;
	let doneBytes = 0;
	let doing = `read ${source.name}`;
	const counted = async function* (): AsyncGenerator<Uint8Array> {
		for await (const chunk of stream) {
			if (!(chunk instanceof Uint8Array)) {
				throw new LamellaError(
					"EINVALID",
					`${source.name} gives text; an archive has to come as bytes (Buffers)`,
				);
			}
			doneBytes += chunk.length;
			onProgress?.({ operation: "import", phase: "reading", index: 0, count: 0, doneBytes, totalBytes });
			yield chunk;
		}
	};
	// A stream that gives nothing would not notice the signal otherwise.
	const abort = (): void => void stream.destroy(new LamellaError("EABORTED", "the import was cancelled"));
	// The reading below meets the failure; one that comes before it has begun would end the process otherwise.
	stream.on("error", () => {});
	if (signal?.aborted === true) abort();
	signal?.addEventListener("abort", abort, { once: true });
	try {
		const scratch = await options.scratch();
		const place = path.join(scratch.path, "archive.tar");
		doing += `, which is first written out to ${place}`;
		const file = await fs.promises.open(place, "wx", 0o600);
		try {
			for await (const chunk of decompress(counted(), "detect", { signal, maxRatio: MAX_RATIO })) {
				for (let done = 0; done < chunk.length; ) {
					done += (await file.write(chunk, done, chunk.length - done)).bytesWritten;
				}
			}
		} finally {
			await file.close();
		}
		return TarArchive.open(fs.openSync(place, "r"), source.name, source.repository);
	} catch (error) {
		stream.destroy();
		if (error instanceof LamellaError && error.code === "ECOMPRESSION") {
			throw new LamellaError(error.code, `cannot read ${source.name}: ${error.message}`, { cause: error });
		}
		throw asArchiveError(error, doing);
	} finally {
		signal?.removeEventListener("abort", abort);
	}
}
