/**
 * The graph driver plugin protocol's calls, by path: JSON in, JSON out. Shapes are those of moby's
 * daemon/graphdriver/proxy.go (v20.10): fields that are empty are left out of requests.
 * Diff and ApplyDiff carry tars and are in streams.ts.
 */
import type { Change } from "../../layer/index.ts";
import type { DockerPlugin } from "./plugin.ts";
import { idMaps, optional, type RequestBody, record, required, strings } from "./request.ts";

export type Route = (plugin: DockerPlugin, body: RequestBody) => object | Promise<object>;

/** archive.ChangeType: modify 0, add 1, delete 2. */
const CHANGE_KINDS: Readonly<Record<Change["kind"], number>> = { C: 0, A: 1, D: 2 };

const OK = {};

export const ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
	["/Plugin.Activate", () => ({ Implements: ["GraphDriver"] })],
	[
		"/GraphDriver.Init",
		async (plugin, body) => {
			await plugin.init({
				home: required(body, "Home"),
				options: strings(body, "Opts"),
				uidMaps: idMaps(body, "UIDMaps"),
				gidMaps: idMaps(body, "GIDMaps"),
			});
			return OK;
		},
	],
	[
		"/GraphDriver.Create",
		async (plugin, body) => {
			await plugin.driver.create(required(body, "ID"), optional(body, "Parent"), createOptions(body));
			return OK;
		},
	],
	[
		"/GraphDriver.CreateReadWrite",
		async (plugin, body) => {
			await plugin.driver.createReadWrite(
				required(body, "ID"),
				optional(body, "Parent"),
				createOptions(body),
			);
			return OK;
		},
	],
	[
		"/GraphDriver.Remove",
		async (plugin, body) => {
			await plugin.driver.remove(required(body, "ID"));
			return OK;
		},
	],
	[
		"/GraphDriver.Get",
		async (plugin, body) => ({
			Dir: await plugin.driver.get(required(body, "ID"), optional(body, "MountLabel")),
		}),
	],
	[
		"/GraphDriver.Put",
		async (plugin, body) => {
			await plugin.driver.put(required(body, "ID"));
			return OK;
		},
	],
	[
		"/GraphDriver.Exists",
		async (plugin, body) => ({ Exists: await plugin.driver.exists(required(body, "ID")) }),
	],
	["/GraphDriver.Status", async (plugin) => ({ Status: await plugin.driver.status() })],
	[
		"/GraphDriver.GetMetadata",
		async (plugin, body) => ({ Metadata: await plugin.driver.metadata(required(body, "ID")) }),
	],
	[
		"/GraphDriver.Cleanup",
		async (plugin) => {
			await plugin.driver.cleanup();
			return OK;
		},
	],
	[
		"/GraphDriver.Changes",
		async (plugin, body) => {
			const changes = await plugin.driver.changes(required(body, "ID"), optional(body, "Parent"));
			// JSON has no bytes: what is not UTF-8 in a name is replaced, as dockerd does towards its own clients.
			return {
				Changes: changes.map(({ kind, path }) => ({ Path: path.toString("utf8"), Kind: CHANGE_KINDS[kind] })),
			};
		},
	],
	[
		"/GraphDriver.DiffSize",
		async (plugin, body) => ({
			Size: await plugin.driver.diffSize(required(body, "ID"), optional(body, "Parent")),
		}),
	],
	// True would stop dockerd from keeping tar-split data, and `docker save` needs that.
	["/GraphDriver.Capabilities", () => ({ Capabilities: { ReproducesExactDiffs: false } })],
]);

function createOptions(body: RequestBody): { mountLabel: string; storageOpt: Record<string, string> } {
	return { mountLabel: optional(body, "MountLabel"), storageOpt: record(body, "StorageOpt") };
}
