/** The door for who only looks at images: what their records say. */
export { listImages } from "./catalog.ts";
