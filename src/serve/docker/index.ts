export {
	DEFAULT_DOCKER_SOCKET,
	DEFAULT_DOCKER_STATE,
	type RunningServer,
	type ServeDockerOptions,
	serveDocker,
} from "./serve.ts";
