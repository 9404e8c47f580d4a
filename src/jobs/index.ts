export type { JobContext, JobFunctions, JobTable, RunOptions } from "./contract.ts";
export { JobPool, type JobPoolOptions, type PoolRunOptions } from "./job-pool.ts";
