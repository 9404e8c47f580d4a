/** `lamella serve`: the store behind containerd and dockerd. Runs until SIGTERM or SIGINT, then drains. */
import path from "node:path";
import type { PrintableConfig, Protocol } from "../../serve/index.ts";
import { type CommandModule, defineCommand } from "../command.ts";
import { stderr, stdout } from "../output/output.ts";

interface ServeOptions {
	readonly config?: string;
	readonly socket?: string;
	readonly stateDir?: string;
	readonly logLevel?: string;
	readonly printConfig?: PrintableConfig;
}

export const command: CommandModule = defineCommand<[protocol: Protocol | undefined], ServeOptions>({
	configure: (command) => {
		command
			.argument(
				"[protocol]",
				"whose protocol is spoken (default: those that the configuration file has a table for)",
				["containerd", "docker"],
			)
			.option("--config <file>", "configuration file (default without a protocol: /etc/lamella/config.toml)")
			.option(
				"--socket <path>",
				"where to listen (default for containerd: /run/lamella/containerd.sock, for docker: " +
					"/run/docker/plugins/lamella.sock)",
			)
			.option(
				"--state-dir <dir>",
				"where dockerd's last Init is remembered (default: /var/lib/lamella-docker)",
			)
			.option("--log-level <level>", "how much is logged on stderr (default: info)", [
				"trace",
				"debug",
				"info",
				"warn",
				"error",
				"silent",
			])
			.option(
				"--print-config <program>",
				"print what containerd, dockerd or systemd has to be told, and end",
				["containerd", "docker", "systemd"],
			)
			.examples(
				["lamella serve containerd", "a snapshotter for containerd"],
				["lamella serve docker", "then: dockerd --experimental -s lamella"],
				["lamella serve --config lamella.toml", "both at once, on one store"],
				["lamella serve --print-config containerd", "what goes into containerd's config.toml"],
			);
	},
	run: async (context, [protocol], options) => {
		const { createLogger, parseLogLevel, printedConfig, printedNote, resolveConfig, serve } = await import(
			"../../serve/index.ts"
		);
		if (options.printConfig !== undefined) {
			const { printConfig, config: file } = options;
			const words = ["serve", ...(protocol === undefined ? [] : [protocol])];
			if (file !== undefined) words.push("--config", path.resolve(file));
			const inFile =
				file === undefined || printConfig === "systemd" ? undefined : resolveConfig({ file })[printConfig];
			const request = { socket: options.socket ?? inFile?.socket, command: words.join(" "), protocol };
			stdout.write(printedConfig(printConfig, request));
			const note = printedNote(printConfig, request);
			if (note !== undefined) stderr.write(`${note}\n`);
			return;
		}
		const { root, driver, flatten } = context.globals;
		const { stateRoot } = await import("../../api/index.ts");
		const config = resolveConfig({
			file: options.config,
			protocol,
			socket: options.socket,
			stateDirectory: options.stateDir,
			root: root === undefined ? undefined : path.resolve(stateRoot(root)),
			driver,
			flatten,
			logLevel: options.logLevel,
		});
		await using servers = await serve(config, createLogger(parseLogLevel(config["log-level"])));
		await stopped(context.signal);
		await servers.close();
	},
});

function stopped(signal: AbortSignal): Promise<void> {
	if (signal.aborted) return Promise.resolve();
	return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
