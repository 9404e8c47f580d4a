/**
 * Check: whether the store on disk is what its records say. The parts run in order, from the records up, and a repair is made
 * as soon as its damage is found: what comes later looks at the store as it is by then. Other processes go on meanwhile, so
 * every part looks twice, with the layer's lock, before it says that something is wrong.
 */
import { availableParallelism } from "node:os";
import { LamellaError } from "../../errors/index.ts";
import type { StoreContext } from "../context.ts";
import type { CheckOptions, CheckReport } from "../contract.ts";
import type { LayerRecord } from "../database/layer-record.ts";
import { allLayers, layerRecord } from "../database/layers.ts";
import { Turns } from "../operations/turns.ts";
import { checkContent } from "./content.ts";
import { checkDirectories } from "./directories.ts";
import { type Finding, type Found, settle } from "./finding.ts";
import type { FindingKind } from "./finding-kinds.ts";
import { checkLayer } from "./layers.ts";
import { checkMounts } from "./mounts.ts";
import { checkRecordFiles } from "./record-files.ts";
import { checkRows } from "./rows.ts";

/** While there is one of these, the records cannot be listed. */
const UNREADABLE: ReadonlySet<FindingKind> = new Set<FindingKind>(["record-damaged", "record-lost"]);

export async function checkStore(store: StoreContext, options: CheckOptions): Promise<CheckReport> {
	const { layers: chosen, deep = false, repair = false, signal, onProgress, also, restores } = options;
	const findings: Finding[] = [];
	const mustGoOn = (): void => {
		if (signal?.aborted === true) throw new LamellaError("EABORTED", "the check was cancelled");
	};
	const take = async (founds: AsyncIterable<Found> | Iterable<Found>): Promise<void> => {
		for await (const found of founds) {
			mustGoOn();
			findings.push(await settle(found, repair));
		}
	};
	if (chosen === undefined) {
		await take(checkRows(store));
		// Without rows that can be read, nothing else can be looked at.
		if (findings.some(({ kind, repaired }) => UNREADABLE.has(kind) && !repaired)) {
			return { layers: 0, unverified: 0, findings };
		}
		await take(checkDirectories(store));
	}
	const records =
		chosen?.map((id) => layerRecord(store.database, id)) ??
		allLayers(store.database).sort((a, b) => a.depth - b.depth);
	// What has no data has no content.
	const readable: LayerRecord[] = [];
	for (const record of records) {
		mustGoOn();
		const before = findings.length;
		await take(await checkLayer(store, record));
		if (record.kind === "committed" && findings.length === before) readable.push(record);
	}
	let unverified = 0;
	if (deep) {
		const turns = new Turns(availableParallelism());
		const progress = new ContentProgress(readable, onProgress);
		const checked = readable.map((record) =>
			turns.inTurn(async () => {
				const options = { signal, onProgress: progress.of(record) };
				const content = await checkContent(store, record, options);
				progress.of(record)(Infinity);
				return content;
			}),
		);
		for (const { isVerified, found } of await Promise.all(checked)) {
			if (!isVerified) unverified += 1;
			await take(found);
		}
	}
	if (chosen === undefined) {
		await take(checkRecordFiles(store, restores));
		if (also !== undefined) await take(also());
		await take(checkMounts(store));
	}
	return { layers: records.length, unverified, findings };
}

/** Adds up what was read of the layers that are read side by side. */
class ContentProgress {
	readonly #onProgress: CheckOptions["onProgress"];
	readonly #totalBytes: number;
	#doneBytes = 0;
	readonly #doneOf: Map<LayerRecord, number> = new Map();

	constructor(records: readonly LayerRecord[], onProgress: CheckOptions["onProgress"]) {
		this.#onProgress = onProgress;
		this.#totalBytes = records.reduce((bytes, { usage }) => bytes + (usage?.sizeBytes ?? 0), 0);
	}

	/** What to call with the bytes of a layer that were read. Never counts more of it than its disk use. */
	of(record: LayerRecord): (doneBytes: number) => void {
		return (bytes) => {
			const doneBytes = Math.min(bytes, record.usage?.sizeBytes ?? 0);
			this.#doneBytes += doneBytes - (this.#doneOf.get(record) ?? 0);
			this.#doneOf.set(record, doneBytes);
			this.#onProgress?.(this.#doneBytes, this.#totalBytes);
		};
	}
}
