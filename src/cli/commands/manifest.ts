/** `lamella manifest`: what a registry has under a reference. */

import type { RegistryImage } from "../../api/index.ts";
import { type CommandModule, defineCommand } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { humanSize } from "../output/amounts.ts";
import { stdout } from "../output/output.ts";
import { forPeople } from "../output/text.ts";
import { accessFrom, CERTS_DIR, type LoginOptions, PASSWORD_STDIN, USERNAME } from "../registry-login.ts";

interface Options extends LoginOptions {
	platform?: string;
	raw?: boolean;
}

export const command: CommandModule = defineCommand<[reference: string], Options>({
	configure: (command) => {
		command
			.argument("<reference>", "like debian:12 or ghcr.io/group/app@sha256:…")
			.option("--platform <platform>", "of several platforms, the manifest for OS/ARCHITECTURE[/VARIANT]")
			.option("--raw", "the document byte for byte")
			.addOption(USERNAME)
			.addOption(PASSWORD_STDIN)
			.addOption(CERTS_DIR)
			.examples(
				["lamella manifest debian:12", "the platforms that there are"],
				["lamella manifest --platform linux/arm64 debian:12", "the layers for one of them"],
			);
	},
	run: async (context, [reference], { platform, raw, ...login }) => {
		const { openRegistry } = await import("../../api/registry/index.ts");
		const registry = openRegistry({ ...(await accessFrom(login)), signal: context.signal });
		const image = await registry.manifest(reference, { platform });
		if (raw === true) stdout.write(image.bytes);
		else if (context.json) context.printJson(manifestJson(image));
		else printManifest(context, image);
	},
});

function manifestJson(image: RegistryImage): object {
	const { kind, digest, mediaType, host, annotations, bytes } = image;
	const about = { kind, digest, mediaType, sizeBytes: bytes.length, host, annotations };
	if (image.kind === "manifest") return { ...about, config: image.config, layers: image.layers };
	return {
		...about,
		manifests: image.manifests.map((entry) => ({ ...entry, platform: entry.platform ?? null })),
	};
}

function printManifest(context: CommandContext, image: RegistryImage): void {
	const { kind, digest, mediaType, host } = image;
	context.print(`${kind} ${digest}`, `type: ${mediaType}`, `host: ${forPeople(host)}`);
	for (const [key, value] of Object.entries(image.annotations))
		context.print(`annotation: ${forPeople(key)}=${forPeople(value)}`);
	if (image.kind === "manifest") {
		const blobs = [
			{ ...image.config, what: "config" },
			...image.layers.map((layer) => ({ ...layer, what: "layer" })),
		];
		context.printTable(
			[
				{ title: "BLOB", cell: ({ what }) => what },
				{ title: "DIGEST", cell: (blob) => blob.digest },
				{ title: "SIZE", cell: ({ sizeBytes }) => humanSize(sizeBytes), align: "right" },
				{ title: "TYPE", cell: (blob) => forPeople(blob.mediaType) },
			],
			blobs,
		);
		return;
	}
	context.printTable(
		[
			{
				title: "PLATFORM",
				cell: ({ platform = "-", isImage }) => (isImage ? forPeople(platform) : "(no image)"),
			},
			{ title: "DIGEST", cell: (entry) => entry.digest },
			{ title: "SIZE", cell: ({ sizeBytes }) => humanSize(sizeBytes), align: "right" },
			{
				title: "ANNOTATIONS",
				cell: ({ annotations }) =>
					Object.entries(annotations)
						.map(([key, value]) => `${forPeople(key)}=${forPeople(value)}`)
						.join(" "),
			},
		],
		image.manifests,
	);
}
