/**
 * The index of the database's log, which SQLite maps into memory (`lamella.db-shm`). It is given all its blocks: SQLite
 * writes one byte in every 4096, and where blocks are smaller than that a full disk would end the process with SIGBUS.
 *
 * To close any descriptor of the file takes SQLite's locks on it away from the whole process, so all connections of the
 * process share one, and the last one closes it.
 */
import { closeSync, fstatSync, openSync, statfsSync } from "node:fs";
import path from "node:path";
import * as linux from "../../linux/index.ts";

/** What SQLite begins with. */
const INDEX_BYTES = 32 * 1024;
/** SQLite itself writes a byte this often: its unixShmMap, `pgsz`. */
const WRITTEN_EVERY_BYTES = 4096;

interface Held {
	readonly fd: number;
	/** Others that were opened before it was known that the file is held. */
	readonly more: number[];
	connections: number;
}

const held = new Map<string, Held>();

export class LogIndex {
	readonly #key: string;

	/** Whether blocks are so small that SQLite leaves some unwritten. Elsewhere the native part need not be loaded for it. */
	static isNeeded(database: string): boolean {
		return statfsSync(path.dirname(database)).bsize < WRITTEN_EVERY_BYTES;
	}

	/** Call it when the connection is open. */
	constructor(file: string) {
		const fd = openSync(file, "r+");
		const { dev, ino } = fstatSync(fd, { bigint: true });
		this.#key = `${dev}:${ino}`;
		const known = held.get(this.#key);
		if (known === undefined) held.set(this.#key, { fd, more: [], connections: 1 });
		else {
			known.more.push(fd);
			known.connections += 1;
		}
		try {
			linux.fallocate(fd, 0, 0, INDEX_BYTES);
		} catch (error) {
			// Where blocks cannot be set aside, the file stays as it was.
			if (!linux.isSystemError(error)) throw error;
		}
	}

	/** Call it when the connection is closed. */
	close(): void {
		const known = held.get(this.#key);
		if (known === undefined) return;
		known.connections -= 1;
		if (known.connections > 0) return;
		held.delete(this.#key);
		for (const fd of [known.fd, ...known.more]) closeSync(fd);
	}
}
