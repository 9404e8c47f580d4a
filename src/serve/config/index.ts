export {
	type ConfigRequest,
	DEFAULT_CONFIG_FILE,
	type Protocol,
	parseConfig,
	resolveConfig,
} from "./load.ts";
export { PRINTABLE_CONFIGS, type PrintableConfig, printedConfig, printedNote } from "./print.ts";
export {
	type ContainerdConfig,
	type DockerConfig,
	OPTIONS,
	type OptionDescription,
	type ServeConfig,
} from "./schema.ts";
