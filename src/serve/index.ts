export {
	type ConfigRequest,
	DEFAULT_CONFIG_FILE,
	OPTIONS,
	type OptionDescription,
	PRINTABLE_CONFIGS,
	type PrintableConfig,
	type Protocol,
	parseConfig,
	printedConfig,
	printedNote,
	resolveConfig,
	type ServeConfig,
} from "./config/index.ts";
export {
	DEFAULT_CONTAINERD_SOCKET,
	DEFAULT_SNAPSHOTTER_OPTIONS,
	type ServeContainerdOptions,
	type SnapshotterOptions,
	serveContainerd,
} from "./containerd/index.ts";
export {
	DEFAULT_DOCKER_SOCKET,
	DEFAULT_DOCKER_STATE,
	type RunningServer,
	type ServeDockerOptions,
	serveDocker,
} from "./docker/index.ts";
export { claimSocket, listenAt, type SocketClaim } from "./listen.ts";
export { createLogger, LOG_LEVELS, type Logger, type LogLevel, parseLogLevel } from "./log.ts";
export { type RunningServers, serve } from "./serve.ts";
