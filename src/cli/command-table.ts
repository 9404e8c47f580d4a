/**
 * Every command by name: its summary and the file that holds the rest. Only the file of the command that was
 * called is loaded, so that a command's start time does not grow with the number of commands.
 */
import type { CommandModule } from "./command.ts";

export interface CommandEntry {
	readonly name: string;
	readonly aliases?: readonly string[];
	readonly summary: string;
	readonly load: () => Promise<{ readonly command: CommandModule }>;
}

export interface CommandGroup {
	readonly title: string;
	readonly commands: readonly CommandEntry[];
}

export const COMMAND_GROUPS: readonly CommandGroup[] = [
	{
		title: "Images:",
		commands: [
			{
				name: "import",
				summary: "read an image from an archive or a directory",
				load: () => import("./commands/import.ts"),
			},
			{
				name: "export",
				summary: "write an image as an archive or a directory",
				load: () => import("./commands/export.ts"),
			},
			{ name: "images", summary: "list the images", load: () => import("./commands/images.ts") },
			{ name: "tag", summary: "give an image one more name", load: () => import("./commands/tag.ts") },
			{
				name: "rmi",
				summary: "remove images, and the layers that no one else uses",
				load: () => import("./commands/rmi.ts"),
			},
		],
	},
	{
		title: "Layers:",
		commands: [
			{
				name: "create",
				summary: "make a writable layer over an image or a layer",
				load: () => import("./commands/create.ts"),
			},
			{ name: "mount", summary: "mount a layer and print where", load: () => import("./commands/mount.ts") },
			{
				name: "unmount",
				aliases: ["umount"],
				summary: "give a mount back",
				load: () => import("./commands/unmount.ts"),
			},
			{
				name: "run",
				summary: "run a command in a layer, to try things",
				load: () => import("./commands/run.ts"),
			},
			{ name: "changes", summary: "list what a layer changed", load: () => import("./commands/changes.ts") },
			{
				name: "diff",
				summary: "write what a layer changed as an OCI layer tar",
				load: () => import("./commands/diff.ts"),
			},
			{
				name: "commit",
				summary: "make an image of a writable layer",
				load: () => import("./commands/commit.ts"),
			},
			{
				name: "apply",
				summary: "make a committed layer from a layer tar",
				load: () => import("./commands/apply.ts"),
			},
			{
				name: "flatten",
				summary: "give a layer one hard-linked root in place of its chain",
				load: () => import("./commands/flatten.ts"),
			},
			{ name: "layers", summary: "list the layers", load: () => import("./commands/layers.ts") },
			{
				name: "tree",
				summary: "show how layers stand on one another",
				load: () => import("./commands/tree.ts"),
			},
			{ name: "rm", summary: "remove layers", load: () => import("./commands/rm.ts") },
		],
	},
	{
		title: "The store:",
		commands: [
			{
				name: "status",
				summary: "show the driver, the filesystem and what is held",
				load: () => import("./commands/status.ts"),
			},
			{
				name: "inspect",
				summary: "show all that is known of an image or a layer, as JSON",
				load: () => import("./commands/inspect.ts"),
			},
			{
				name: "cleanup",
				summary: "delete what stopped or killed processes left behind",
				load: () => import("./commands/cleanup.ts"),
			},
			{
				name: "serve",
				summary: "be a graph driver for dockerd or a snapshotter for containerd",
				load: () => import("./commands/serve.ts"),
			},
		],
	},
	{
		title: "This program:",
		commands: [
			{ name: "version", summary: "print the version", load: () => import("./commands/version.ts") },
		],
	},
];

/** All the commands, in the order in which help shows them. */
export const COMMANDS: readonly CommandEntry[] = COMMAND_GROUPS.flatMap((group) => group.commands);
