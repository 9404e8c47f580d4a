/** `lamella serve`: the store behind containerd and dockerd. */
export {
	type PrintableConfig,
	type Protocol,
	printedConfig,
	printedNote,
	resolveConfig,
} from "./config/index.ts";
export { createLogger, parseLogLevel } from "./log.ts";
export { serve } from "./serve.ts";
