export { BASE_IMAGE_LABEL } from "./commit/commit-layer.ts";
export type * from "./contract.ts";
export { openImages } from "./image-store.ts";
