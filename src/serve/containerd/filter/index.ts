/** containerd's filter language. */
export { type FilterSubject, parseFilters } from "./parse.ts";
