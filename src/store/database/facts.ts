/** What the store knows of itself. */
import type { Database } from "./database.ts";

export type Fact = "driver";

export function factOf(database: Database, name: Fact): string | undefined {
	return database.get<{ value: string }>("SELECT value FROM facts WHERE name = ?", name)?.value;
}

/** Call it within a transaction. */
export function putFact(database: Database, name: Fact, value: string): void {
	database.run("INSERT OR REPLACE INTO facts VALUES (?, ?)", name, value);
}
