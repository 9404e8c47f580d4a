export {
	DEFAULT_DOCKER_SOCKET,
	DEFAULT_DOCKER_STATE,
	type ServeDockerOptions,
	serveDocker,
} from "./serve.ts";
