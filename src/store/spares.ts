/**
 * Directories of active layers that are made before somebody asks for one: `staging/<owner>/<n>`, like any layer in the
 * making, and swept like one. They are for layers that are made early, where making the directories is most of the work.
 */
import { mkdirSync, rmSync } from "node:fs";
import path from "node:path";
import type { Driver } from "../driver/index.ts";
import type { Owner } from "./owner.ts";

const SPARES = 8;
/** They are made when nobody has asked for a layer for a while, one after the other. */
const IDLE_MS = 50;
const NEXT_MS = 3;

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
		this.#fillIn(IDLE_MS);
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

	#fillIn(delayMs: number): void {
		clearTimeout(this.#refill);
		if (this.#closed || this.#driver.prepareAhead === undefined) return;
		this.#refill = setTimeout(() => this.#fill(), delayMs);
	}

	#fill(): void {
		const n = this.#owner.nextName();
		try {
			mkdirSync(this.#at(n), { mode: 0o710 });
			this.#driver.prepareAhead?.(this.#at(n));
		} catch {
			// A full disk, say: whoever makes a layer is told. What was begun is swept with the owner's directory.
			return;
		}
		this.#ready.push(n);
		if (this.#ready.length < SPARES) this.#fillIn(NEXT_MS);
	}
}
