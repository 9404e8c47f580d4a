export type { IdMapRange, IdMaps } from "./id-maps.ts";
