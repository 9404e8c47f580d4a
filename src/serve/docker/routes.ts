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

/** A call whose answer is that it went well. */
function done(work: (plugin: DockerPlugin, body: RequestBody) => Promise<void>): Route {
	return async (plugin, body) => {
		await work(plugin, body);
		return {};
	};
}

const id = (body: RequestBody): string => required(body, "ID");
const parent = (body: RequestBody): string => optional(body, "Parent");
const createOptions = (body: RequestBody): { mountLabel: string; storageOpt: Record<string, string> } => ({
	mountLabel: optional(body, "MountLabel"),
	storageOpt: record(body, "StorageOpt"),
});

const CALLS: Readonly<Record<string, Route>> = {
	"/Plugin.Activate": () => ({ Implements: ["GraphDriver"] }),
	"/GraphDriver.Init": done((plugin, body) =>
		plugin.init({
			home: required(body, "Home"),
			options: strings(body, "Opts"),
			uidMaps: idMaps(body, "UIDMaps"),
			gidMaps: idMaps(body, "GIDMaps"),
		}),
	),
	"/GraphDriver.Create": done(({ driver }, body) =>
		driver.create(id(body), parent(body), createOptions(body)),
	),
	"/GraphDriver.CreateReadWrite": done(({ driver }, body) =>
		driver.createReadWrite(id(body), parent(body), createOptions(body)),
	),
	"/GraphDriver.Remove": done(({ driver }, body) => driver.remove(id(body))),
	"/GraphDriver.Get": async ({ driver }, body) => ({
		Dir: await driver.get(id(body), optional(body, "MountLabel")),
	}),
	"/GraphDriver.Put": done(({ driver }, body) => driver.put(id(body))),
	"/GraphDriver.Exists": async ({ driver }, body) => ({ Exists: await driver.exists(id(body)) }),
	"/GraphDriver.Status": async ({ driver }) => ({ Status: await driver.status() }),
	"/GraphDriver.GetMetadata": async ({ driver }, body) => ({ Metadata: await driver.metadata(id(body)) }),
	"/GraphDriver.Cleanup": done(({ driver }) => driver.cleanup()),
	"/GraphDriver.Changes": async ({ driver }, body) => {
		const changes = await driver.changes(id(body), parent(body));
		// JSON has no bytes. Bytes of a name that are not UTF-8 are replaced, as dockerd does towards its own clients.
		const told = changes.map(({ kind, path }) => ({ Path: path.toString("utf8"), Kind: CHANGE_KINDS[kind] }));
		return { Changes: told };
	},
	"/GraphDriver.DiffSize": async ({ driver }, body) => ({
		Size: await driver.diffSize(id(body), parent(body)),
	}),
	// True would stop dockerd from keeping tar-split data, and `docker save` needs that.
	"/GraphDriver.Capabilities": () => ({ Capabilities: { ReproducesExactDiffs: false } }),
};

export const ROUTES: ReadonlyMap<string, Route> = new Map(Object.entries(CALLS));
