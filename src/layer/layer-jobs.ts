/**
 * Where the worker threads find the functions of LayerJobs: what a JobPool<LayerJobs> is made with. This file stays as
 * deep as dist/bin is, where the command has it in a bundle: both reach the jobs by the same relative path.
 */
export const LAYER_JOBS: URL = new URL(
	import.meta.url.endsWith(".ts") ? "./jobs/jobs.ts" : "../layer/jobs/jobs.js",
	import.meta.url,
);
