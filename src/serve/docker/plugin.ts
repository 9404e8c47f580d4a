/** The graph driver behind the protocol: none before the first Init, and the last Init's after a restart. */
import { LamellaError } from "../../errors/index.ts";
import { init, type StoreGraphDriver } from "../../graphdriver/index.ts";
import type { LayerStore } from "../../store/index.ts";
import type { Logger } from "../log.ts";
import { type InitState, loadState, saveState } from "./state.ts";

export class DockerPlugin implements AsyncDisposable {
	readonly #stateDirectory: string;
	readonly #log: Logger;
	readonly #store: LayerStore | undefined;
	#driver: StoreGraphDriver | undefined;
	#current: InitState | undefined;
	/** Init calls take turns. */
	#turn: Promise<void> = Promise.resolve();

	/** With a `store` the layers are kept there; without, in a store at the home that Init names. */
	constructor(stateDirectory: string, log: Logger, store?: LayerStore) {
		this.#store = store;
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

	/** A dockerd starts. The same home and options keep the store open; others replace it. */
	init(state: InitState): Promise<void> {
		const done = this.#turn.then(() => this.#init(state));
		// The next Init does not inherit this one's failure; the caller has it.
		this.#turn = done.catch(() => undefined);
		return done;
	}

	async #init(state: InitState): Promise<void> {
		if (this.#driver === undefined || JSON.stringify(state) !== JSON.stringify(this.#current)) {
			const before = this.#driver;
			this.#driver = undefined;
			await before?.close();
			this.#driver = await init(state.home, state.options, state.uidMaps, state.gidMaps, this.#store);
			this.#current = state;
			await saveState(this.#stateDirectory, state);
		}
		await this.#driver.adoptMounts();
		this.#log.info({ home: state.home, options: state.options }, "initialised");
	}

	async close(): Promise<void> {
		await this.#turn;
		await this.#driver?.close();
		this.#driver = undefined;
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.close();
	}
}
