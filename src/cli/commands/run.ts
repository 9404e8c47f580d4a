/** `lamella run`: a command in a layer, or in a layer made for it and thrown away after, for trying things. */
import type { ImageDetails, PullPolicy, Store } from "../../api/index.ts";
import { LamellaError } from "../../errors/index.ts";
import { CommandStartError } from "../../run/index.ts";
import { type CommandModule, defineCommand } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { EXIT } from "../exit-code.ts";
import { tellFailure } from "../failure.ts";
import { type ImageRuntime, readRuntime } from "../image-runtime.ts";
import { collect, PULL } from "../shared-options.ts";

interface Options {
	image?: string;
	pull?: PullPolicy;
	env?: string[];
	user?: string;
	workdir?: string;
	hostname?: string;
}

export const command: CommandModule = defineCommand<[words: string[]], Options>({
	configure: (command) => {
		command
			.usage(
				"[options] LAYER [--] COMMAND [ARGUMENTS]\n       lamella run [options] --image IMAGE [--] [COMMAND] [ARGUMENTS]",
			)
			.argument("[words...]", "the layer, and the command to run in it (default: what its image says)")
			.option("--image <image>", "run in a new layer over this image, which is removed after")
			.addOption(PULL)
			.option("-e, --env <name=value>", "set a variable (repeatable)", collect)
			.option("-u, --user <user>", "NAME, UID, NAME:GROUP or UID:GID (default: what its image says)")
			.option("-w, --workdir <dir>", "where to start (default: what its image says)")
			.option("--hostname <name>", "name of the host within (default: the layer's)")
			.passThroughOptions()
			.helpText(
				"It has process, mount, IPC and host name namespaces of its own, and is no sandbox: see docs/running-containers.md.",
			)
			.examples(
				["lamella run web1 -- cat /etc/os-release", "in a layer that is there"],
				["lamella run --image debian:demo -- sh", "in one that is thrown away"],
			);
	},
	run: async (context, [words], options) => {
		try {
			context.exitCode = await runIn(context, words, options);
		} catch (error) {
			// The command's own codes stay free: what fails before it starts has the codes that docker run has for it.
			tellFailure(error, context.globals);
			context.exitCode = error instanceof CommandStartError ? error.exitCode : EXIT.runFailed;
		}
	},
});

async function runIn(context: CommandContext, words: readonly string[], options: Options): Promise<number> {
	const [name, given] = splitWords(words, options.image !== undefined);
	await using store = await context.openStore("making");
	try {
		// What killed runs left. It is no reason not to run.
		await store.cleanup();
	} catch (error) {
		const why = error instanceof Error ? error.message : String(error);
		context.warn([{ text: `what a killed run left stays: ${why}` }]);
	}
	if (options.image === undefined) {
		const layer = store.layer(name);
		const image = imageBelow(store, layer.id);
		return await runMounted(context, store, { name, given, image, options });
	}
	const { image: reference, pull = "never" } = options;
	if (pull !== "never") {
		const pulled = await context.withProgress((work) => store.pull(reference, { policy: pull, ...work }));
		context.warn(pulled.warnings);
	}
	const image = store.image(reference);
	const temporary = `run-${process.pid.toString(36)}-${Date.now().toString(36)}`;
	await store.create(temporary, { from: image.id, temporary: true });
	try {
		return await runMounted(context, store, { name: temporary, given, image, options });
	} finally {
		await store.remove(temporary, { force: true });
	}
}

/** `LAYER [--] COMMAND…`, or without a layer where there is an image. */
function splitWords(
	words: readonly string[],
	hasImage: boolean,
): readonly [layer: string, command: readonly string[]] {
	const [layer, ...rest] = hasImage ? ["", ...words] : words;
	if (layer === undefined) {
		throw new LamellaError(
			"EINVALID",
			"say which layer to run in, or give --image; lamella run --help shows how",
		);
	}
	return [layer, rest[0] === "--" ? rest.slice(1) : rest];
}

interface Subject {
	readonly name: string;
	readonly given: readonly string[];
	readonly image: ImageDetails | undefined;
	readonly options: Options;
}

async function runMounted(context: CommandContext, store: Store, subject: Subject): Promise<number> {
	const { name, given, image, options } = subject;
	const runtime: ImageRuntime = readRuntime(image?.config);
	const [command = "/bin/sh", ...args] = given.length > 0 ? given : runtime.command;
	await using mount = await store.mount(name, { temporary: !options.image, signal: context.signal });
	const { runInRoot } = await import("../../run/index.ts");
	context.leaveSignalsToTheCommand();
	return await runInRoot({
		root: mount.path,
		command,
		args,
		env: { TERM: process.env.TERM ?? "dumb", HOME: "/root", ...runtime.env, ...variables(options.env ?? []) },
		cwd: options.workdir ?? runtime.workingDirectory,
		user: options.user ?? runtime.user,
		hostname: options.hostname ?? name.slice(0, 63),
		passSignals: true,
	});
}

/** The image that a layer stands on directly; its config says what to run. */
function imageBelow(store: Store, layer: string): ImageDetails | undefined {
	const { parent } = store.layer(layer);
	const image = store.images().find(({ layers }) => layers.at(-1)?.layer === parent);
	return image === undefined || parent === undefined ? undefined : store.image(image.id);
}

function variables(words: readonly string[]): Record<string, string> {
	return Object.fromEntries(
		words.map((word) => {
			const equals = word.indexOf("=");
			return equals === -1
				? [word, process.env[word] ?? ""]
				: [word.slice(0, equals), word.slice(equals + 1)];
		}),
	);
}
