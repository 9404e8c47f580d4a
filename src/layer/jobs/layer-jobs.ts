/** Where the worker threads find the functions of LayerJobs: what a JobPool<LayerJobs> is made with. */
export const LAYER_JOBS = "layer/jobs/jobs.js";
