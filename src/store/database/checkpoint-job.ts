/** Entry of the thread that moves the database's log into its file. */
import { DatabaseSync } from "node:sqlite";
import type { JobFunctions } from "../../jobs/index.ts";

export interface CheckpointJobs {
	readonly checkpoint: { request: { file: string }; result: undefined };
}

export const jobs: JobFunctions<CheckpointJobs> = {
	checkpoint: ({ file }) => {
		const database = new DatabaseSync(file, { timeout: 10_000 });
		try {
			database.exec("PRAGMA wal_checkpoint(PASSIVE)");
			// The first transaction after a checkpoint starts the log anew, and flushes its header. This thread can wait for that.
			database.exec("INSERT OR REPLACE INTO facts VALUES ('checkpointed', unixepoch())");
		} finally {
			database.close();
		}
		return undefined;
	},
};
