export {
	type ConfigRequest,
	type Protocol,
	parseConfig,
	resolveConfig,
} from "./load.ts";
export { type PrintableConfig, printedConfig, printedNote } from "./print.ts";
export type {
	ContainerdConfig,
	DockerConfig,
	ServeConfig,
} from "./schema.ts";
