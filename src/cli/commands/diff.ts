/** `lamella diff`: what a layer changed, as an OCI layer tar on stdout or in a file. */
import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { LamellaError } from "../../errors/index.ts";
import { type CommandModule, defineCommand } from "../command.ts";
import { humanSize } from "../output/amounts.ts";
import { stdout } from "../output/output.ts";
import { forPeople } from "../output/text.ts";
import { SKIP_UNSUPPORTED } from "../shared-options.ts";
import { checkStdoutTakesBytes } from "../streams.ts";

interface Options {
	output?: string;
	against?: string;
	since?: string;
	wholeSeconds?: boolean;
	skipUnsupported?: boolean;
}

export const command: CommandModule = defineCommand<[layer: string], Options>({
	configure: (command) => {
		command
			.argument("<layer>", "name of the layer")
			.option("-o, --output <file>", "write to this file in place of stdout")
			.option("--against <layer>", "compare with this layer or image in place of its parent")
			.option("--since <checkpoint>", "the same, of a checkpoint")
			.option("--whole-seconds", "cut times to seconds, for readers without PAX times")
			.addOption(SKIP_UNSUPPORTED)
			.examples(["lamella diff web1 > layer.tar", "the same bytes for the same changes"]);
	},
	run: async (context, [name], { output, against, since, wholeSeconds, skipUnsupported }) => {
		const toFile = output !== undefined && output !== "-";
		if (!toFile) checkStdoutTakesBytes(context, "send it on with > or |, or give a file with --output");
		await using store = await context.openStore();
		const tar = store.diff(name, {
			against: against ?? since,
			wholeSeconds,
			skipUnsupported,
			signal: context.signal,
		});
		if (!toFile) {
			await pipeline(tar, stdout.stream, { signal: context.signal, end: false });
			context.warn((await tar.result).warnings);
			return;
		}
		// The file appears whole or not at all, and one that was there survives a failure.
		const partial = `${output}.partial-${process.pid}`;
		let sizeBytes: number;
		try {
			const file = createWriteStream(partial, { flags: "wx", mode: 0o600 });
			await pipeline(tar, file, { signal: context.signal });
			sizeBytes = file.bytesWritten;
			await rename(partial, output);
		} catch (error) {
			await rm(partial, { force: true });
			throw inWords(error, output);
		}
		const { warnings } = await tar.result;
		context.warn(warnings);
		if (context.json) context.printJson({ layer: name, output, sizeBytes, warnings });
		else context.note(`${name} written to ${forPeople(output)}, ${humanSize(sizeBytes)}`);
	},
});

function inWords(error: unknown, output: string): unknown {
	const code = error instanceof Error && "code" in error ? error.code : undefined;
	const path = forPeople(output);
	const details = { path, cause: error };
	if (code === "ENOSPC") {
		const message = `the disk is full: there is no room for ${path}; make some and try again`;
		return new LamellaError("ENOSPACE", message, details);
	}
	if (code === "ENOENT" || code === "ENOTDIR") {
		return new LamellaError("ENOTFOUND", `the directory of ${path} does not exist; make it first`, details);
	}
	return error;
}
