export { BASE_IMAGE_LABEL } from "./catalog.ts";
export type * from "./contract.ts";
export { openImages } from "./image-store.ts";
