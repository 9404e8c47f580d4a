/**
 * The configuration file of `lamella serve`: TOML. Unknown keys are refused by name.
 * docs/configuration.md says what each means; a test looks whether it has them all.
 */
import * as v from "valibot";
import { DRIVER_NAMES, type DriverName } from "../../driver/index.ts";
import { DEFAULT_CONTAINERD_SOCKET, ID_MAPS_OPTIONS, type IdMapsOption } from "../containerd/index.ts";
import { DEFAULT_DOCKER_SOCKET, DEFAULT_DOCKER_STATE } from "../docker/index.ts";
import { LOG_LEVELS, type LogLevel } from "../log.ts";

const absolutePath = v.pipe(
	v.string("has to be a text"),
	v.check((path) => path.startsWith("/"), "has to be an absolute path"),
);
const choice = <const T extends readonly string[]>(...choices: T) =>
	v.picklist(choices, `has to be one of ${choices.map((word) => `"${word}"`).join(", ")}`);
const flag = v.boolean("has to be true or false");

const containerd = v.strictObject({
	socket: v.optional(absolutePath, DEFAULT_CONTAINERD_SOCKET),
	"id-maps": v.optional(choice(...ID_MAPS_OPTIONS), "mount"),
	"upperdir-label": v.optional(flag, false),
	"remote-snapshots": v.optional(flag, false),
});

const docker = v.strictObject({
	socket: v.optional(absolutePath, DEFAULT_DOCKER_SOCKET),
	"state-dir": v.optional(absolutePath, DEFAULT_DOCKER_STATE),
	"own-store": v.optional(flag, false),
});

export interface ContainerdConfig {
	readonly socket: string;
	readonly "id-maps": IdMapsOption;
	readonly "upperdir-label": boolean;
	readonly "remote-snapshots": boolean;
}

export interface DockerConfig {
	readonly socket: string;
	readonly "state-dir": string;
	readonly "own-store": boolean;
}

export interface ServeConfig {
	readonly root?: string | undefined;
	readonly driver?: DriverName | undefined;
	readonly flatten?: "always" | "auto" | "never" | undefined;
	readonly "log-level": LogLevel;
	readonly containerd?: ContainerdConfig | undefined;
	readonly docker?: DockerConfig | undefined;
}

export const configSchema: v.GenericSchema<unknown, ServeConfig> = v.strictObject({
	root: v.optional(absolutePath),
	driver: v.optional(choice(...DRIVER_NAMES)),
	flatten: v.optional(choice("always", "auto", "never")),
	"log-level": v.optional(choice(...LOG_LEVELS), "info"),
	containerd: v.optional(containerd),
	docker: v.optional(docker),
});
