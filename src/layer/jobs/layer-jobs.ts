/** Where the worker threads find the functions of LayerJobs: what a JobPool<LayerJobs> is made with. */
export const LAYER_JOBS: URL = new URL(
	import.meta.url.endsWith(".ts") ? "./jobs.ts" : "../layer/jobs.js",
	import.meta.url,
);
