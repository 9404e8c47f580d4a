/**
 * The configuration file of `lamella serve`: TOML, every key here with what it means. Unknown keys are refused by name.
 * docs/configuration.md is made to say the same; a test compares.
 */
import * as v from "valibot";
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
	readonly driver?: "overlay" | "vfs" | undefined;
	readonly flatten?: "always" | "auto" | "never" | undefined;
	readonly "log-level": LogLevel;
	readonly containerd?: ContainerdConfig | undefined;
	readonly docker?: DockerConfig | undefined;
}

export const configSchema: v.GenericSchema<unknown, ServeConfig> = v.strictObject({
	root: v.optional(absolutePath),
	driver: v.optional(choice("overlay", "vfs")),
	flatten: v.optional(choice("always", "auto", "never")),
	"log-level": v.optional(choice(...LOG_LEVELS), "info"),
	containerd: v.optional(containerd),
	docker: v.optional(docker),
});

export interface OptionDescription {
	/** As in the file, with the table's name: `containerd.socket`. */
	readonly name: string;
	readonly default: string;
	readonly meaning: string;
}

/** Every key of the file. */
export const OPTIONS: readonly OptionDescription[] = [
	{ name: "root", default: '"/var/lib/lamella"', meaning: "where the store is" },
	{
		name: "driver",
		default: "what works",
		meaning: 'how layers become filesystems: "overlay" or "vfs" (plain copies); fixed once there are layers',
	},
	{
		name: "flatten",
		default: '"auto"',
		meaning:
			'when chains of layers become one root of hard links: "always", "auto" (in the background, once a chain is ' +
			'deep) or "never"',
	},
	{
		name: "log-level",
		default: '"info"',
		meaning: `how much is logged on standard error: ${LOG_LEVELS.map((level) => `"${level}"`).join(", ")}`,
	},
	{
		name: "containerd.socket",
		default: `"${DEFAULT_CONTAINERD_SOCKET}"`,
		meaning: "where containerd finds the snapshotter",
	},
	{
		name: "containerd.id-maps",
		default: '"mount"',
		meaning:
			'what a snapshot for a user namespace stands on: "mount" on its parent, through an idmapped mount that containerd ' +
			'2 makes (Linux 5.19); "copy" on a copy of the parent with shifted owners; "refuse": it is refused, unless ' +
			"containerd has shifted the parent by itself",
	},
	{
		name: "containerd.upperdir-label",
		default: "false",
		meaning:
			"tell each writable snapshot's upper directory in the label containerd.io/snapshot/overlay.upperdir",
	},
	{
		name: "containerd.remote-snapshots",
		default: "false",
		meaning:
			"layers that one containerd namespace has are given to another without being downloaded again; their content " +
			"is then missing for push and export",
	},
	{
		name: "docker.socket",
		default: `"${DEFAULT_DOCKER_SOCKET}"`,
		meaning: "where dockerd finds the graph driver plugin",
	},
	{
		name: "docker.state-dir",
		default: `"${DEFAULT_DOCKER_STATE}"`,
		meaning: "where dockerd's last Init is remembered",
	},
	{
		name: "docker.own-store",
		default: "false",
		meaning:
			"keep dockerd's layers in a store below dockerd's data root (as `lamella serve docker` does) and not in the " +
			"one at root; dockerd with userns-remap needs it",
	},
];
