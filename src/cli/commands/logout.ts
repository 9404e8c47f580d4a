/** `lamella logout`: takes the credentials for a registry away. */
import { LamellaError } from "../../errors/index.ts";
import { type CommandModule, defineCommand } from "../command.ts";
import { forPeople } from "../output/text.ts";
import { parseRegistryName } from "../registry-name.ts";

export const command: CommandModule = defineCommand<[registry: string | undefined], object>({
	configure: (command) => {
		command
			.argument("[registry]", "its host, with a port where it has one (default: docker.io)")
			.examples(["lamella logout ghcr.io", "ghcr.io is asked as nobody from now on"]);
	},
	run: async (context, [word = "docker.io"]) => {
		const registry = parseRegistryName(word);
		const { removeLogin } = await import("../../registry/index.ts");
		const { from, left } = await removeLogin(registry);
		const podman = left.map(forPeople).join(" and ");
		const also = podman === "" ? "" : `; podman's ${podman} still has some: podman logout ${registry}`;
		if (from.length === 0) {
			throw new LamellaError("ENOTFOUND", `no credentials for ${registry} are stored${also}`);
		}
		if (context.json) context.printJson({ registry, removedFrom: from, leftIn: left });
		else context.note(`logged out of ${registry}: taken from ${from.map(forPeople).join(" and ")}${also}`);
	},
});
