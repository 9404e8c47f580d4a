/** `lamella push`: an image to a registry, or all tags of a repository. */
import type { Compression, PushResult } from "../../api/index.ts";
import { type CommandModule, defineCommand } from "../command.ts";
import { humanSize } from "../output/amounts.ts";
import { forPeople } from "../output/text.ts";
import { accessFrom, CERTS_DIR, type LoginOptions, PASSWORD_STDIN, USERNAME } from "../registry-login.ts";
import { SKIP_UNSUPPORTED } from "../shared-options.ts";

interface Options extends LoginOptions {
	compression?: Compression;
	allTags?: boolean;
	skipUnsupported?: boolean;
}

export const command: CommandModule = defineCommand<[image: string, to: string | undefined], Options>({
	configure: (command) => {
		command
			.argument("<image>", "name or id of the image")
			.argument("[to]", "where to: host/repository:tag (default: what the image is called)")
			.option(
				"--compression <kind>",
				"of layers that the registry has not (default: as they came, else gzip)",
				["none", "gzip", "zstd"],
			)
			.option("-a, --all-tags", "push all images of the repository <image>, each under its tag")
			.addOption(SKIP_UNSUPPORTED)
			.addOption(USERNAME)
			.addOption(PASSWORD_STDIN)
			.addOption(CERTS_DIR)
			.examples(
				["lamella push ghcr.io/ann/app:1", "to where its name says"],
				["lamella push app:1 localhost:5000/app:1", "to another place"],
				["lamella push ghcr.io/ann/app --all-tags", "every tag of it that is here"],
			);
	},
	run: async (context, [image, to], { compression, allTags, skipUnsupported, ...login }) => {
		const access = await accessFrom(login);
		await using store = await context.openStore();
		const pushed = await context.withProgress((work) =>
			store.push(image, { to, compression, allTags, skipUnsupported, ...access, ...work }),
		);
		for (const { warnings } of pushed) context.warn(warnings);
		if (context.json) context.printJson(pushed);
		else {
			for (const result of pushed) {
				for (const note of notesOf(result, compression)) context.note(note);
				context.print(
					allTags === true ? `${result.reference} ${result.manifestDigest}` : result.manifestDigest,
				);
			}
		}
	},
});

/** What a person should know beside the digest. */
function* notesOf(result: PushResult, asked: Compression | undefined): Generator<string> {
	const { reference, image, pushedAs, replacedDigest, layers, sizeBytes } = result;
	const there = layers.filter(({ way }) => way !== "uploaded").length;
	const were = there === 0 ? "" : `, ${there} of ${layers.length} layers were there`;
	yield `${forPeople(reference)} pushed, ${humanSize(sizeBytes)} of layers sent${were}`;
	if (pushedAs !== image) {
		yield `it is image ${pushedAs} there: layers could not be made as they came, and have other diffIDs`;
	} else if (replacedDigest !== undefined) {
		const why =
			asked === undefined
				? "whose compressed layers could not be made again byte for byte"
				: "with other compressed layers";
		yield `the digest is new: it came as ${replacedDigest}, ${why}`;
	}
}
