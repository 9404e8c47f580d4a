/** One run of the command `lamella`: signals, broken pipes, the last resort for errors, and the exit code. */
import { EXIT } from "./exit-code.ts";

const WELCOME = `lamella keeps container image layers and gives every container a writable root in milliseconds.

Start with an image, from "docker save", "skopeo copy" or any OCI archive (as root, or with sudo):
  lamella import IMAGE.tar --name debian:demo   read an image into the store
  lamella create web1 debian:demo               make a writable layer over it
  lamella mount web1                            mount it and print where
  lamella changes web1                          see what was changed there
  lamella commit web1 debian:demo2              make an image of it
  lamella export debian:demo2 OUT.tar           and take it elsewhere
  lamella unmount web1; lamella rm web1         and throw the layer away

lamella help lists all commands; lamella COMMAND --help explains one.
`;

/** @returns the exit code; every failure has been told */
export async function runCommand(words: readonly string[]): Promise<number> {
	if (words.length === 0) {
		process.stdout.write(WELCOME);
		return EXIT.ok;
	}
	if (words.length === 1 && (words[0] === "--version" || words[0] === "-V")) {
		const { version } = await import("./commands/version.ts");
		process.stdout.write(`${version()}\n`);
		return EXIT.ok;
	}
	if (words[0] === "completion" || words[0] === "complete") {
		const { complete } = await import("./completion.ts");
		return complete(words);
	}
	const abort = new AbortController();
	const interruption = listenForSignals(abort);
	let brokenPipe = false;
	process.stdout.on("error", (error: NodeJS.ErrnoException) => {
		if (error.code !== "EPIPE") throw error;
		brokenPipe = true;
		abort.abort();
	});
	try {
		const { runCommandLine } = await import("./program.ts");
		const exitCode = await runCommandLine(words, abort.signal);
		return brokenPipe ? EXIT.brokenPipe : exitCode;
	} catch (error) {
		if (brokenPipe) return EXIT.brokenPipe;
		const exitCode = interruption();
		if (exitCode === undefined) return await reportFailure(error, words);
		process.stderr.write("lamella: interrupted; nothing partial was kept\n");
		return exitCode;
	}
}

async function reportFailure(error: unknown, words: readonly string[]): Promise<number> {
	const ours = words.includes("--") ? words.slice(0, words.indexOf("--")) : words;
	const { describeFailure, failureAsJson } = await import("./failure.ts");
	const failure = describeFailure(error, ours.includes("--debug"));
	const { default: colours } = await import("picocolors");
	// A plain false: for undefined picocolors would decide, and it colours whatever a CI job prints.
	const { bold, red } = colours.createColors(process.stderr.isTTY === true && !process.env.NO_COLOR);
	process.stderr.write(`${failure.text.replace(/^lamella:/, bold(red("lamella:")))}\n`);
	if (ours.includes("--json"))
		process.stdout.write(`${JSON.stringify(failureAsJson(error), undefined, 2)}\n`);
	return failure.exitCode;
}

/**
 * The first signal cancels the work, which then cleans up; the second ends the process, and what is half done is
 * swept at the next start.
 * @returns the exit code for the signal that came, if one did
 */
function listenForSignals(abort: AbortController): () => number | undefined {
	let received: number | undefined;
	const exitCodes = { SIGHUP: 129, SIGINT: EXIT.interrupted, SIGTERM: 143 } as const;
	for (const [name, exitCode] of Object.entries(exitCodes)) {
		process.on(name, () => {
			if (received !== undefined) process.exit(exitCode);
			received = exitCode;
			abort.abort(name);
		});
	}
	return () => received;
}
