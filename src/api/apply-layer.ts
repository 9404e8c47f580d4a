/** A layer tar from a file or a stream into the store. */
import fs from "node:fs";
import { Readable } from "node:stream";
import { type ErrorCode, isLamellaError, LamellaError } from "../errors/index.ts";
import type { ProgressEvent } from "../image/index.ts";
import type { LayerSource, Warning } from "../layer/index.ts";
import type { Labels, LayerId, LayerInfo, LayerStore } from "../store/index.ts";

const ABOUT_CONTENT: ReadonlySet<ErrorCode> = new Set([
	"ECOMPRESSION",
	"EDIGEST",
	"ENOSPACE",
	"ETAR",
	"EUNSAFE",
]);

/** A layer that was made of a tar just now. */
export interface AppliedLayer extends LayerInfo {
	/** What the tar has and the layer does not. */
	readonly warnings: readonly Warning[];
}

export interface ApplyFromOptions {
	readonly parent?: LayerId | undefined;
	readonly labels?: Labels | undefined;
	readonly signal?: AbortSignal | undefined;
	readonly onProgress: (event: ProgressEvent) => void;
}

/** As `Store.applyLayer`, with names already looked up. "-" is standard input. */
export async function applyLayerFrom(
	store: LayerStore,
	id: LayerId,
	input: string | Readable,
	options: ApplyFromOptions,
): Promise<AppliedLayer> {
	const source = typeof input === "string" && input !== "-" ? await fileSource(input) : input;
	// The store meets a failure when it reads; one that comes before that must not end the process.
	if (source instanceof Readable) source.on("error", () => {});
	const totalBytes = isRange(source) ? source.sizeBytes : undefined;
	const report = (phase: "applying" | "done", doneBytes: number): void =>
		options.onProgress({ operation: "apply", phase, layer: id, index: 0, count: 1, doneBytes, totalBytes });
	report("applying", 0);
	let bytes = 0;
	const onProgress = (doneBytes: number): void => {
		bytes = doneBytes;
		report("applying", doneBytes);
	};
	const { parent, labels, signal } = options;
	let layer: AppliedLayer;
	try {
		const from = typeof source === "string" ? process.stdin : source;
		const { applied, ...made } = await store.applyLayer(id, from, { parent, labels, signal, onProgress });
		layer = { ...made, warnings: applied.warnings };
	} catch (error) {
		throw withInput(error, input);
	}
	report("done", totalBytes ?? bytes);
	return layer;
}

/** Errors about what is in the tar, saying which tar. */
function withInput(error: unknown, input: string | Readable): unknown {
	if (!isLamellaError(error) || !ABOUT_CONTENT.has(error.code)) return error;
	const { code, message, layer, path } = error;
	const name = typeof input === "string" && input !== "-" ? input : "the stream";
	const wayOut = code === "ETAR" ? "; the tar is damaged or badly made: fetch it or make it again" : "";
	return new LamellaError(code, `cannot apply ${name}: ${message}${wayOut}`, { layer, path, cause: error });
}

async function fileSource(file: string): Promise<LayerSource | Readable> {
	let stat: fs.Stats;
	try {
		stat = await fs.promises.stat(file);
	} catch (cause) {
		const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
		throw new LamellaError(
			missing ? "ENOTFOUND" : "ESYSTEM",
			missing ? `there is no file ${file}` : `cannot read ${file}: ${(cause as Error).message}`,
			{ cause },
		);
	}
	if (stat.isDirectory())
		throw new LamellaError("EINVALID", `${file} is a directory; a layer comes as a tar`);
	// A FIFO or /dev/stdin can be read once, from its beginning.
	if (!stat.isFile()) return fs.createReadStream(file);
	return { from: "range", path: file, offset: 0, sizeBytes: stat.size, compression: "detect" };
}

function isRange(source: string | LayerSource | Readable): source is Extract<LayerSource, { from: "range" }> {
	return typeof source !== "string" && "from" in source && source.from === "range";
}
