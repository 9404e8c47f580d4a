/** Entry for callers that only read and write references: it loads nothing of HTTP. */
export {
	familiarRepository,
	formatReference,
	type NameParts,
	parseReference,
	parseRepository,
	type RegistryReference,
	splitReference,
} from "./reference.ts";
