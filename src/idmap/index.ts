export {
	checkIdMap,
	formatIdMap,
	hostRoot,
	type IdMapRange,
	type IdMaps,
	toContainer,
	toHost,
} from "./id-maps.ts";
export { parseIdMapLabel, parseMobyIdMap } from "./parse.ts";
export {
	mapFromZero,
	parseSubordinateIds,
	type SubordinateRange,
	subordinateIdMaps,
	type User,
} from "./subordinate-ids.ts";
