/** Entry for callers that only look at images: what their records say. */
export { listImages } from "./catalog.ts";
