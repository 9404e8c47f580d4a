/** Reading the records of the rooms above; records.ts changes them. */
import { LamellaError } from "../../errors/index.ts";
import type { RecordsReader } from "../contract.ts";
import type { Database } from "./database.ts";

const NAMESPACE = /^[a-z][a-z-]{0,62}$/;

/** @throws {LamellaError} `EINVALID` */
export function recordsReader<T>(database: Database, namespace: string): RecordsReader<T> {
	checkNamespace(namespace);
	return {
		get: (key) => {
			const row = database.get<{ value: string }>(
				"SELECT value FROM records WHERE namespace = ? AND key = ?",
				namespace,
				key,
			);
			return row === undefined ? undefined : (JSON.parse(row.value) as T);
		},
		list: () =>
			database
				.all<{ key: string; value: string }>(
					"SELECT key, value FROM records WHERE namespace = ? ORDER BY key",
					namespace,
				)
				.map(({ key, value }): [string, T] => [key, JSON.parse(value) as T]),
	};
}

function checkNamespace(namespace: string): void {
	if (NAMESPACE.test(namespace)) return;
	throw new LamellaError(
		"EINVALID",
		`"${namespace}" cannot be a namespace; take lower-case letters and "-", up to 63`,
	);
}
