export {
	checkIdMap,
	formatIdMap,
	hostRoot,
	type IdMapRange,
	type IdMaps,
	toContainer,
	toHost,
} from "./id-maps.ts";
export { parseIdMapLabel } from "./parse.ts";
