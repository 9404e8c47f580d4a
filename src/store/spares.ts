/**
 * Directories of active layers that are made before somebody asks for one: `staging/<owner>/<n>`, like any layer in the
 * making, and swept like one. They are for layers that are made early, where making the directories is most of the work.
 */
import { mkdirSync, rmSync } from "node:fs";
import path from "node:path";
import type { Driver } from "../driver/index.ts";
import type { Owner } from "./owner.ts";

/** As many as a burst of containers takes before the first of them is answered for. */
const SPARES = 4;
/** What was answered last has its consequences in other processes first. */
const REFILL_MS = 10;

export class Spares {
	readonly #owner: Owner;
	readonly #driver: Driver;
	readonly #ready: string[] = [];
	#refill: NodeJS.Timeout | undefined;
	#closed = false;

	constructor(owner: Owner, driver: Driver) {
		this.#owner = owner;
		this.#driver = driver;
	}

	/** The `<n>` of a directory that is begun (Driver.prepareAhead); undefined where there is none just now. */
	take(): string | undefined {
		this.#refill ??= setTimeout(() => this.#fill(), REFILL_MS);
		return this.#ready.pop();
	}

	/** Removes what nobody took. */
	close(): void {
		this.#closed = true;
		clearTimeout(this.#refill);
		for (const n of this.#ready.splice(0)) rmSync(this.#at(n), { recursive: true, force: true });
	}

	#at(n: string): string {
		return path.join(this.#owner.directory, n);
	}

	#fill(): void {
		this.#refill = undefined;
		if (this.#closed || this.#driver.prepareAhead === undefined) return;
		try {
			while (this.#ready.length < SPARES) {
				const n = this.#owner.nextName();
				mkdirSync(this.#at(n), { mode: 0o710 });
				this.#driver.prepareAhead(this.#at(n));
				this.#ready.push(n);
			}
		} catch {
			// A full disk, say: whoever makes a layer is told. What was begun is swept with the owner's directory.
		}
	}
}
