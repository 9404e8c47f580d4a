/** `lamella pull`: images from registries. */

import type { PulledImage } from "../../api/index.ts";
import { type CommandModule, defineCommand } from "../command.ts";
import { imageJson } from "../json-shapes.ts";
import { counted, humanDuration, humanSize } from "../output/amounts.ts";
import { forPeople, shortDigest } from "../output/text.ts";
import { accessFrom, CERTS_DIR, type LoginOptions, PASSWORD_STDIN, USERNAME } from "../registry-login.ts";

interface Options extends LoginOptions {
	platform?: string;
}

export const command: CommandModule = defineCommand<[references: string[]], Options>({
	configure: (command) => {
		command
			.argument("<reference...>", "like debian:12, ghcr.io/group/app or localhost:5000/app@sha256:…")
			.option("--platform <platform>", "OS/ARCHITECTURE[/VARIANT] (default: this machine's)")
			.addOption(USERNAME)
			.addOption(PASSWORD_STDIN)
			.addOption(CERTS_DIR)
			.examples(
				["lamella pull debian:12", "from docker's registry, for that is the default"],
				["lamella pull --platform linux/arm64 ghcr.io/group/app", "for another machine"],
			);
	},
	run: async (context, [references], { platform, ...login }) => {
		const access = await accessFrom(login);
		await using store = await context.openStore("making");
		const pulled: PulledImage[] = [];
		for (const reference of references) {
			const startMs = performance.now();
			const image = await context.withProgress((work) =>
				store.pull(reference, { platform, ...access, ...work }),
			);
			context.warn(image.warnings);
			pulled.push(image);
			if (context.json) continue;
			if (context.globals.quiet === true) {
				context.print(image.id);
				continue;
			}
			const id = context.whole ? image.id : shortDigest(image.id);
			const size = `${counted(image.layers.length, "layer")}, ${humanSize(image.sizeBytes)}`;
			context.print(`${forPeople(reference)}  ${id}  ${size}`, `digest: ${image.digest}`);
			context.note(
				image.isNew ? `pulled in ${humanDuration(performance.now() - startMs)}` : "it was here already",
			);
		}
		if (context.json) {
			context.printJson(
				pulled.map((image) => ({
					...imageJson(image),
					digest: image.digest,
					isNew: image.isNew,
					warnings: image.warnings,
				})),
			);
		}
	},
});
