/** `lamella serve`: the store behind dockerd (a graph driver plugin). Runs until SIGTERM or SIGINT, then drains. */
import { Argument, Option } from "commander";
import { type CommandModule, defineCommand, examples } from "../command.ts";

interface ServeOptions {
	readonly socket?: string;
	readonly stateDir?: string;
	readonly logLevel: string;
}

export const command: CommandModule = defineCommand<[protocol: "docker"], ServeOptions>({
	configure: (command) => {
		command
			.addArgument(new Argument("<protocol>", "whose protocol is spoken").choices(["docker"]))
			.option("--socket <path>", "where to listen (default for docker: /run/docker/plugins/lamella.sock)")
			.option(
				"--state-dir <dir>",
				"where dockerd's last Init is remembered (default for docker: /var/lib/lamella-docker)",
			)
			.addOption(
				new Option("--log-level <level>", "how much is logged on stderr")
					.choices(["trace", "debug", "info", "warn", "error", "silent"])
					.default("info"),
			)
			.addHelpText(
				"after",
				examples(
					["lamella serve docker", "then: dockerd --experimental -s lamella"],
					["lamella serve docker --log-level debug", "log every call"],
				),
			);
	},
	run: async (context, [_protocol], options) => {
		const { createLogger, parseLogLevel, serveDocker } = await import("../../serve/index.ts");
		const log = createLogger(parseLogLevel(options.logLevel));
		await using server = await serveDocker({
			socket: options.socket,
			stateDirectory: options.stateDir,
			log,
		});
		await stopped(context.signal);
		await server.close();
	},
});

function stopped(signal: AbortSignal): Promise<void> {
	if (signal.aborted) return Promise.resolve();
	return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
