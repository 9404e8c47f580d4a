/**
 * Every command by name: its summary and the file that holds the rest. Only the file of the command that was
 * called is loaded, so that a command's start time does not grow with the number of commands.
 */
import type { CommandModule } from "./command.ts";

export interface CommandEntry {
	readonly name: string;
	readonly aliases: readonly string[];
	readonly summary: string;
	readonly load: () => Promise<{ readonly command: CommandModule }>;
}

export interface CommandGroup {
	readonly title: string;
	readonly commands: readonly CommandEntry[];
}

type Load = CommandEntry["load"];
const command = (name: string, summary: string, load: Load, ...aliases: string[]): CommandEntry => {
	return { name, summary, load, aliases };
};

export const COMMAND_GROUPS: readonly CommandGroup[] = [
	{
		title: "Images:",
		commands: [
			command("pull", "bring images from registries", () => import("./commands/pull.ts")),
			command("manifest", "show what a registry has of an image", () => import("./commands/manifest.ts")),
			command("tags", "list the tags of a repository", () => import("./commands/tags.ts")),
			command("import", "read an image from an archive or a directory", () => import("./commands/import.ts")),
			command("export", "write an image as an archive or a directory", () => import("./commands/export.ts")),
			command("push", "send an image to a registry", () => import("./commands/push.ts")),
			command("images", "list the images", () => import("./commands/images.ts")),
			command("tag", "give an image one more name", () => import("./commands/tag.ts")),
			command(
				"rmi",
				"remove images, and the layers that no one else uses",
				() => import("./commands/rmi.ts"),
			),
		],
	},
	{
		title: "Registries:",
		commands: [
			command("login", "store credentials for a registry", () => import("./commands/login.ts")),
			command("logout", "take credentials for a registry away", () => import("./commands/logout.ts")),
		],
	},
	{
		title: "Layers:",
		commands: [
			command(
				"create",
				"make a writable layer over an image or a layer",
				() => import("./commands/create.ts"),
			),
			command("mount", "mount a layer and print where", () => import("./commands/mount.ts")),
			command("unmount", "give a mount back", () => import("./commands/unmount.ts"), "umount"),
			command("run", "run a command in a layer, to try things", () => import("./commands/run.ts")),
			command("changes", "list what a layer changed", () => import("./commands/changes.ts")),
			command("diff", "write what a layer changed as an OCI layer tar", () => import("./commands/diff.ts")),
			command(
				"checkpoint",
				"keep where a writable layer is now, to come back to",
				() => import("./commands/checkpoint.ts"),
			),
			command("log", "list a layer's checkpoints", () => import("./commands/log.ts")),
			command(
				"rollback",
				"make a layer again what it was at a checkpoint",
				() => import("./commands/rollback.ts"),
			),
			command(
				"fork",
				"make writable layers that start where another one is",
				() => import("./commands/fork.ts"),
			),
			command("squash", "make one of a layer's checkpoints", () => import("./commands/squash.ts")),
			command(
				"commit",
				"make an image of a writable layer or a checkpoint",
				() => import("./commands/commit.ts"),
			),
			command("apply", "make a committed layer from a layer tar", () => import("./commands/apply.ts")),
			command(
				"flatten",
				"give a layer one hard-linked root in place of its chain",
				() => import("./commands/flatten.ts"),
			),
			command("layers", "list the layers", () => import("./commands/layers.ts")),
			command("tree", "show how layers stand on one another", () => import("./commands/tree.ts")),
			command("rm", "remove layers", () => import("./commands/rm.ts")),
		],
	},
	{
		title: "The store:",
		commands: [
			command(
				"status",
				"show the driver, the filesystem and what is held",
				() => import("./commands/status.ts"),
			),
			command(
				"inspect",
				"show all that is known of an image or a layer, as JSON",
				() => import("./commands/inspect.ts"),
			),
			command(
				"check",
				"look whether the store is as its records say, and repair it",
				() => import("./commands/check.ts"),
			),
			command(
				"cleanup",
				"delete what stopped or killed processes left behind",
				() => import("./commands/cleanup.ts"),
			),
			command(
				"serve",
				"be a graph driver for dockerd or a snapshotter for containerd",
				() => import("./commands/serve.ts"),
			),
		],
	},
	{
		title: "This program:",
		commands: [command("version", "print the version", () => import("./commands/version.ts"))],
	},
];

/** All the commands, in the order in which help shows them. */
export const COMMANDS: readonly CommandEntry[] = COMMAND_GROUPS.flatMap((group) => group.commands);
