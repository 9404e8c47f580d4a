/** `lamella export`: an image as an archive, a layout directory or on stdout. */
import type { Compression } from "../../api/index.ts";
import { type CommandModule, defineCommand } from "../command.ts";
import { humanSize } from "../output/amounts.ts";
import { stdout } from "../output/output.ts";
import { forPeople } from "../output/text.ts";
import { SKIP_UNSUPPORTED } from "../shared-options.ts";
import { checkStdoutTakesBytes } from "../streams.ts";

interface Options {
	format?: "oci" | "docker" | "oci-dir";
	compression?: Compression;
	name?: string;
	skipUnsupported?: boolean;
}

export const command: CommandModule = defineCommand<[image: string, output: string], Options>({
	configure: (command) => {
		command
			.argument("<image>", "name or id of the image")
			.argument("<output>", "the file (or directory) to make, or - for stdout")
			.option(
				"--format <format>",
				"oci: an OCI archive; docker: for docker load; oci-dir: a layout directory",
				["oci", "docker", "oci-dir"],
			)
			.option("--compression <kind>", "of the layers (default: gzip; none for docker)", [
				"none",
				"gzip",
				"zstd",
			])
			.option("--name <name>", "the name written into the export")
			.addOption(SKIP_UNSUPPORTED)
			.examples(
				["lamella export debian:demo2 demo2.tar", "an OCI archive, for skopeo, podman, containerd"],
				["lamella export debian:demo2 - --format docker | docker load", "straight into dockerd"],
			);
	},
	run: async (context, [image, output], { format, compression, name, skipUnsupported }) => {
		if (output === "-") checkStdoutTakesBytes(context, "give the name of a file in place of -");
		await using store = await context.openStore();
		const result = await context.withProgress((work) =>
			store.exportImage(image, output === "-" ? stdout.stream : output, {
				format,
				compression,
				name,
				skipUnsupported,
				...work,
			}),
		);
		context.warn(result.warnings);
		if (output === "-") return;
		if (context.json) {
			const { image: id, exportedAs, manifestDigest, sizeBytes, warnings } = result;
			context.printJson({ image: id, exportedAs, manifestDigest, sizeBytes, output, warnings });
		} else {
			context.note(`${forPeople(image)} written to ${forPeople(output)}, ${humanSize(result.sizeBytes)}`);
		}
	},
});
