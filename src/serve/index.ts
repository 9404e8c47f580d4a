export {
	DEFAULT_DOCKER_SOCKET,
	DEFAULT_DOCKER_STATE,
	type RunningServer,
	type ServeDockerOptions,
	serveDocker,
} from "./docker/index.ts";
export { claimSocket, listenAt, type SocketClaim } from "./listen.ts";
export { createLogger, LOG_LEVELS, type Logger, type LogLevel, parseLogLevel } from "./log.ts";
