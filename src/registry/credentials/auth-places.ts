/**
 * Which files have credentials, in the order in which they are read: $REGISTRY_AUTH_FILE alone where it is set (as with
 * podman); else docker's $DOCKER_CONFIG/config.json or ~/.docker/config.json, then podman's two.
 */
import os from "node:os";
import path from "node:path";

export type Environment = Readonly<Record<string, string | undefined>>;

export function authFiles(environment: Environment): readonly [string, ...string[]] {
	const { REGISTRY_AUTH_FILE, DOCKER_CONFIG, XDG_RUNTIME_DIR, XDG_CONFIG_HOME, HOME } = environment;
	if (REGISTRY_AUTH_FILE) return [REGISTRY_AUTH_FILE];
	const home = HOME || os.homedir();
	// Where there is no session, podman of root and of others keeps it here.
	const runtime = XDG_RUNTIME_DIR
		? path.join(XDG_RUNTIME_DIR, "containers")
		: `/run/containers/${process.getuid?.() ?? 0}`;
	return [
		path.join(DOCKER_CONFIG || path.join(home, ".docker"), "config.json"),
		path.join(runtime, "auth.json"),
		path.join(XDG_CONFIG_HOME || path.join(home, ".config"), "containers", "auth.json"),
	];
}
