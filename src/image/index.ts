export type * from "./contract.ts";
export { openImages } from "./image-store.ts";
export { BASE_IMAGE_LABEL } from "./records/catalog.ts";
