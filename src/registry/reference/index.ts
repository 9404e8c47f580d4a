/** The door for who only reads and writes references: nothing of HTTP is loaded by it. */
export {
	familiarRepository,
	formatReference,
	type NameParts,
	parseReference,
	parseRepository,
	type RegistryReference,
	splitReference,
} from "./reference.ts";
