/**
 * MetaStore: the little transactional database that the store keeps its records in. Any embedded database with
 * ordered keys, atomic durable transactions and several processes can stand behind it; lmdb-meta-store.ts is
 * the one that does.
 */

/** Which tables there are. Keys are text in bytewise order, values are JSON. */
export type MetaTable =
	/** Layer id → LayerRecord. */
	| "layers"
	/** Directory name → layer id. */
	| "places"
	/** `<parent's directory name>/<child's directory name>` → the child's id. */
	| "children"
	/** What is still to be done in the filesystem after a transaction; see pending.ts. */
	| "pending"
	/** `<namespace>/<key>` → a record of a room above. */
	| "records"
	/** Facts about the store itself: format, driver, last boot. */
	| "facts";

export interface MetaReader {
	get<V>(table: MetaTable, key: string): V | undefined;
	/** In order of key, those that begin with `prefix`. */
	entries<V>(table: MetaTable, prefix?: string): Iterable<readonly [key: string, value: V]>;
}

export interface MetaTransaction extends MetaReader {
	put(table: MetaTable, key: string, value: unknown): void;
	remove(table: MetaTable, key: string): void;
}

export interface MetaStore extends MetaReader, AsyncDisposable {
	/** Makes the next reads see what other processes have committed until now. */
	refresh(): void;
	/**
	 * Runs `work` alone among all writers of all processes; reads see its own writes. All of it is durable when
	 * the promise resolves, and nothing of it has happened when `work` throws. `work` has to be synchronous.
	 */
	transaction<R>(work: (transaction: MetaTransaction) => R): Promise<R>;
	close(): Promise<void>;
}
