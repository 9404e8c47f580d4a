/** Has the database's log moved into its file when it has become long, by a thread of its own. */
import { JobPool } from "../../jobs/index.ts";
import type { Background } from "../processes/background.ts";
import type { CheckpointJobs } from "./checkpoint-job.ts";
import type { Database } from "./database.ts";

const JOBS = "store/database/checkpoint-job.js";

/** Returns what ends it. */
export function checkpointsOf(database: Database, background: Background): () => Promise<void> {
	const jobs = new JobPool<CheckpointJobs>(JOBS, { threads: 1 });
	database.onLongLog = () => {
		background.run("move the database's log into its file", () =>
			jobs.run("checkpoint", { file: database.file }),
		);
	};
	return () => jobs.dispose();
}
