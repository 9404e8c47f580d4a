export type { JobContext, JobFunctions, JobTable, RunOptions } from "./contract.ts";
