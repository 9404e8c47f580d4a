import path from "node:path";
import { makeDirectory } from "../../../test/support/filesystems.ts";
import { graphDriverConformance } from "../../../test/support/graphdriver-conformance.ts";
import { PluginClient } from "../../../test/support/plugin-client.ts";
import { createLogger } from "../log.ts";
import { serveDocker } from "./serve.ts";

graphDriverConformance(
	"the plugin's socket",
	async () => {
		const directory = makeDirectory();
		const socket = path.join(directory.path, "run/lamella.sock");
		const server = await serveDocker({
			socket,
			stateDirectory: path.join(directory.path, "state"),
			log: createLogger("silent"),
		});
		const driver = new PluginClient(socket);
		const home = path.join(directory.path, "home");
		await driver.init(home);
		return {
			driver,
			home,
			async [Symbol.asyncDispose]() {
				driver[Symbol.dispose]();
				await server.close();
				directory[Symbol.dispose]();
			},
		};
	},
	{ layers: 24 },
);
