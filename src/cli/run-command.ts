/** One run of the command `lamella`: signals, broken pipes, the last resort for errors, and the exit code. */
import { EXIT } from "./exit-code.ts";
import { stdout } from "./output/output.ts";

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
	const abort = new AbortController();
	const interruption = listenForSignals(abort);
	let outputFailure: NodeJS.ErrnoException | undefined;
	stdout.onFailure = (error) => {
		outputFailure ??= error;
		abort.abort();
	};
	let exitCode: number;
	let failure: unknown;
	try {
		exitCode = await answer(words, abort.signal);
	} catch (error) {
		exitCode = EXIT.failure;
		failure = error;
	}
	// The output's report of its last write comes before this.
	await stdout.finished();
	if (outputFailure?.code === "EPIPE") return EXIT.brokenPipe;
	if (failure === undefined && outputFailure === undefined) return exitCode;
	const { LamellaError } = await import("../errors/index.ts");
	const { tellFailure } = await import("./failure.ts");
	const interrupted = interruption();
	if (outputFailure !== undefined) {
		const { message } = outputFailure;
		const details = { cause: outputFailure };
		failure = new LamellaError("ESYSTEM", `the output cannot be written: ${message}`, details);
	} else if (interrupted !== undefined) {
		failure = new LamellaError("EABORTED", "interrupted; nothing partial was kept");
	}
	const ours = words.includes("--") ? words.slice(0, words.indexOf("--")) : words;
	const told = tellFailure(failure, { json: ours.includes("--json"), debug: ours.includes("--debug") });
	return interrupted ?? told;
}

async function answer(words: readonly string[], signal: AbortSignal): Promise<number> {
	if (words.length === 0) stdout.write(WELCOME);
	else if (words.length === 1 && ["version", "--version", "-V"].includes(words[0] ?? "")) {
		const { versionFacts, versionLine } = await import("./version.ts");
		const facts = versionFacts();
		stdout.write(`${words[0] === "version" ? versionLine(facts) : facts.version}\n`);
	} else if (words[0] === "completion") {
		const { completionScript } = await import("./completion.ts");
		stdout.write(completionScript(words[1]));
	} else if (words[0] === "complete") {
		const { complete } = await import("./completion.ts");
		for (const line of await complete(words.slice(words[1] === "--" ? 2 : 1))) stdout.write(`${line}\n`);
	} else {
		const { runCommandLine } = await import("./program.ts");
		return await runCommandLine(words, signal);
	}
	return EXIT.ok;
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
