/**
 * The graph driver behind the protocol: none before the first Init, and the last Init's after a restart. An Init
 * checks that the home is still the one that was opened: dockerd's data root may have been removed and made again.
 */
import { existsSync } from "node:fs";
import path from "node:path";
import { LamellaError } from "../../errors/index.ts";
import { type HeldPlace, holdLayers, init, type StoreGraphDriver } from "../../graphdriver/index.ts";
import type { LayerStore } from "../../store/index.ts";
import type { Logger } from "../log.ts";
import { type InitState, loadState, saveState } from "./state.ts";

export class DockerPlugin implements AsyncDisposable {
	readonly #stateDirectory: string;
	readonly #log: Logger;
	readonly #store: LayerStore | undefined;
	readonly #storesLayers: HeldPlace | undefined;
	#driver: StoreGraphDriver | undefined;
	#current: InitState | undefined;
	/** Init calls take turns. */
	#turn: Promise<void> = Promise.resolve();

	/** With a `store` the layers are kept there; without, in a store at the home that Init names. */
	constructor(stateDirectory: string, log: Logger, store?: LayerStore) {
		this.#store = store;
		this.#storesLayers = store === undefined ? undefined : holdLayers(store.status().root);
		this.#stateDirectory = stateDirectory;
		this.#log = log;
	}

	/** Takes up what the last process served. Where that fails, waits for dockerd's Init with an open ear. */
	async resume(): Promise<void> {
		const state = loadState(this.#stateDirectory);
		if (state === undefined) {
			this.#log.info("waiting for dockerd's Init");
			return;
		}
		// A home that is made here would stand where a filesystem is mounted later.
		if (!existsSync(state.home)) {
			this.#log.warn({ home: state.home }, "the last home is not there; waiting for dockerd's Init");
			return;
		}
		try {
			this.#driver = await init(state.home, state.options, state.uidMaps, state.gidMaps, this.#store);
			this.#current = state;
			this.#log.info({ home: state.home }, "resumed");
		} catch (error) {
			this.#log.warn({ err: error, home: state.home }, "cannot resume; waiting for dockerd's Init");
		}
	}

	/** @throws {LamellaError} `EPROTOCOL` before Init */
	get driver(): StoreGraphDriver {
		if (this.#driver === undefined) {
			throw new LamellaError("EPROTOCOL", "the graph driver has had no Init yet; restart dockerd");
		}
		return this.#driver;
	}

	/** A dockerd starts. The same home and options keep the store open; other ones, or a home that is gone, replace it. */
	init(state: InitState): Promise<void> {
		const done = this.#turn.then(() => this.#init(state));
		// The next Init does not inherit this one's failure; the caller has it.
		this.#turn = done.catch(() => undefined);
		return done;
	}

	async #init(state: InitState): Promise<void> {
		this.#mustHaveStore();
		const isSame = JSON.stringify(state) === JSON.stringify(this.#current);
		let driver = this.#driver;
		if (driver === undefined || !isSame || !driver.isAtHome()) {
			this.#driver = undefined;
			await driver?.close().catch((error: unknown) => {
				// Of a home that is gone there is nothing left to be closed in order.
				this.#log.warn({ err: error, home: this.#current?.home }, "the last home could not be closed");
			});
			driver = await init(state.home, state.options, state.uidMaps, state.gidMaps, this.#store);
			this.#driver = driver;
			this.#current = state;
			await saveState(this.#stateDirectory, state);
		}
		await driver.adoptMounts();
		this.#log.info({ home: state.home, options: state.options }, "initialised");
	}

	/** @throws {LamellaError} `ECORRUPT` where the store that others use, too, was removed or replaced */
	#mustHaveStore(): void {
		if (this.#storesLayers?.isThere() !== false) return;
		const root = path.dirname(this.#storesLayers.path);
		throw new LamellaError(
			"ECORRUPT",
			`the store at ${root} was removed or replaced while it was open; restart lamella`,
			{ path: root },
		);
	}

	async close(): Promise<void> {
		await this.#turn;
		try {
			await this.#driver?.close();
		} finally {
			this.#driver = undefined;
			this.#storesLayers?.release();
		}
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.close();
	}
}
