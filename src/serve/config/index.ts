export {
	type ConfigRequest,
	type Protocol,
	parseConfig,
	resolveConfig,
} from "./load.ts";
export { type PrintableConfig, printedConfig, printedNote } from "./print.ts";
export {
	type ContainerdConfig,
	type DockerConfig,
	OPTIONS,
	type OptionDescription,
	type ServeConfig,
} from "./schema.ts";
