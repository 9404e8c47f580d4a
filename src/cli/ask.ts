/** Asks a person at the terminal: the question on stderr, one line as the answer, shown or not while it is typed. */
import { LamellaError } from "../errors/index.ts";
import { setTerminalMode, terminalMode, withoutEcho } from "../linux/index.ts";
import { stderr } from "./output/output.ts";

const STDIN = 0;

/** @throws {LamellaError} `EINVALID` where the input ends before a line, `EABORTED` */
export async function askLine(
	question: string,
	signal: AbortSignal,
	options: { readonly hidden?: boolean } = {},
): Promise<string> {
	const before = terminalMode(STDIN);
	if (options.hidden === true) setTerminalMode(STDIN, withoutEcho(before));
	try {
		stderr.write(question);
		return await readLine(signal);
	} finally {
		setTerminalMode(STDIN, before);
	}
}

/** The line that a terminal hands over when its end was typed. */
function readLine(signal: AbortSignal): Promise<string> {
	return new Promise((resolve, reject) => {
		let text = "";
		const end = (settle: () => void): void => {
			process.stdin.off("data", onData).off("end", onEnd).pause();
			signal.removeEventListener("abort", onAbort);
			settle();
		};
		const onData = (chunk: Buffer): void => {
			text += chunk.toString("utf8");
			const at = text.indexOf("\n");
			if (at >= 0) end(() => resolve(text.slice(0, at)));
		};
		const onEnd = (): void =>
			end(() => reject(new LamellaError("EINVALID", "nothing was typed; nothing was changed")));
		const onAbort = (): void =>
			end(() => reject(new LamellaError("EABORTED", "interrupted; nothing was changed")));
		process.stdin.on("data", onData).on("end", onEnd).resume();
		signal.addEventListener("abort", onAbort);
	});
}

/** All of stdin, which is a pipe or a file, without the line's end. @throws {LamellaError} `EINVALID` */
export async function readSecretFromStdin(option: string): Promise<string> {
	if (process.stdin.isTTY) {
		throw new LamellaError(
			"EINVALID",
			`with ${option} the password is piped in; without it, it is asked for`,
		);
	}
	const chunks: Buffer[] = [];
	for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
	return Buffer.concat(chunks)
		.toString("utf8")
		.replace(/\r?\n$/, "");
}
