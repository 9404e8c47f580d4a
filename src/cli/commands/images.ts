/** `lamella images`: the images, one row a name. */

import type { ImageInfo } from "../../api/index.ts";
import { type CommandModule, defineCommand } from "../command.ts";
import { imageJson } from "../json-shapes.ts";
import { age, humanSize } from "../output/amounts.ts";
import { forPeople, shortDigest } from "../output/text.ts";

export const command: CommandModule = defineCommand<[], { digests?: boolean }>({
	configure: (command) => {
		command.option("--digests", "show what registries have them under");
	},
	run: async (context, _, { digests }) => {
		using reader = await context.openReader();
		const images = reader.images();
		if (context.json) return context.printJson(images.map(imageJson));
		if (context.globals.quiet === true) return context.print(...images.map(({ id }) => id));
		if (images.length === 0) {
			context.note(
				"there are no images yet; lamella pull debian:12 brings one from a registry, lamella import IMAGE.tar from an archive",
			);
			return;
		}
		const rows = images.flatMap((image) =>
			(image.names.length > 0 ? image.names : [nameless(image)]).map((name) => ({ image, name })),
		);
		context.printTable(
			[
				{ title: "NAME", cell: ({ name }) => forPeople(name) },
				...(digests === true ? [{ title: "DIGEST", cell: digestOf }] : []),
				{ title: "IMAGE ID", cell: ({ image }) => (context.whole ? image.id : shortDigest(image.id)) },
				{ title: "LAYERS", cell: ({ image }) => String(image.layers.length), align: "right" },
				{ title: "SIZE", cell: ({ image }) => humanSize(image.sizeBytes), align: "right" },
				{ title: "PLATFORM", cell: ({ image }) => forPeople(`${image.os}/${image.architecture}`) },
				{
					title: "CREATED",
					cell: ({ image }) => (image.createdAtMs === undefined ? "-" : age(image.createdAtMs)),
				},
			],
			rows,
		);
	},
});

interface Row {
	readonly image: ImageInfo;
	readonly name: string;
}

/** What was pulled by its digest has no name here. */
function nameless({ repoDigests = [] }: ImageInfo): string {
	const last = repoDigests.at(-1);
	return last === undefined
		? "(no name)"
		: `${last.repository}@${last.digest.slice(0, "sha256:".length + 12)}`;
}

/** Under the name's repository, or of the manifest that it came with. */
function digestOf({ image: { repoDigests = [], manifestDigest }, name }: Row): string {
	const own = repoDigests.findLast(({ repository }) => name.startsWith(`${repository}:`));
	return (own ?? repoDigests.at(-1))?.digest ?? manifestDigest ?? "-";
}
