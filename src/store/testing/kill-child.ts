/**
 * A process for tests to kill: goes through every kind of state change at a store, and says on standard output
 * what has been acknowledged, a line each: `have <id> <kind>`, `gone <id>`, `perhaps <id>` (there or gone), `record <key>`, `held <id>`.
 *
 *     node kill-child.js ROOT TAR POLICY PREFIX DRIVER
 */
import { closeSync, fsyncSync, openSync, statSync, writeFileSync, writeSync } from "node:fs";
import type { LayerSource } from "../../layer/index.ts";
import { openLayerStore, parseLayerId } from "../index.ts";

const [root = "", tar = "", policy = "auto", prefix = "p", driver = ""] = process.argv.slice(2);
const source: LayerSource = {
	from: "range",
	path: tar,
	offset: 0,
	sizeBytes: statSync(tar).size,
	compression: "detect",
};
const id = (name: string): ReturnType<typeof parseLayerId> => parseLayerId(`${prefix}/${name}`);
const say = (line: string): void => void writeSync(1, `${line}\n`);

const store = await openLayerStore({
	root,
	driver: driver === "overlay" ? driver : "packed",
	flatten: policy === "always" ? "always" : "auto",
	threads: 2,
});
say("open");
await store.applyLayer(id("base"), source);
say(`have ${id("base")} committed`);
await store.importChain(
	[
		{ id: id("c1"), source },
		{ id: id("c2"), source },
		{ id: id("c3"), source },
	],
	{ parent: id("base"), also: ({ records }) => records("images").put(`${prefix}-image`, { layers: 3 }) },
);
for (const name of ["c1", "c2", "c3"]) say(`have ${id(name)} committed`);
say(`record ${prefix}-image`);
await store.create(id("work"), { parent: id("c3") });
say(`have ${id("work")} active`);
{
	await using mount = await store.mount(id("work"));
	writeFileSync(`${mount.path}/written`, prefix);
	const fd = openSync(`${mount.path}/written`, "r");
	fsyncSync(fd);
	closeSync(fd);
}
await store.commit(id("work"), id("done"));
say(`gone ${id("work")}`);
say(`have ${id("done")} committed`);
await store.flatten(id("done"));
await store.setLabels(id("done"), { by: prefix });
say(`labelled ${id("done")}`);
await store.create(id("view"), { parent: id("done"), kind: "view" });
say(`have ${id("view")} view`);
await store.remove(id("view"));
say(`gone ${id("view")}`);
await store.create(id("quick"), { parent: id("done"), durable: false });
say(`have ${id("quick")} active`);
await store.commit(id("quick"), id("quicker"));
say(`gone ${id("quick")}`);
say(`have ${id("quicker")} committed`);
await store.create(id("quickest"), { parent: id("quicker"), durable: false });
say(`have ${id("quickest")} active`);
say(`perhaps ${id("quickest")}`);
await store.remove(id("quickest"));
await store.snapshot(id("done"), id("same"));
say(`have ${id("same")} committed`);
await store.create(id("line"), { parent: id("done") });
say(`have ${id("line")} active`);
const line = await store.mount(id("line"));
/** What the layer has to show from now on: these names, or those of `next` where what comes next has been done. */
const shows = (names: string, next = names): void => say(`shows ${id("line")} ${names} ${next}`);
const write = (name: string): void => {
	const fd = openSync(`${line.path}/${name}`, "w");
	writeSync(fd, name);
	fsyncSync(fd);
	closeSync(fd);
};
write("one");
shows("one");
await store.checkpoint(id("line"));
say(`have ${id("line@1")} committed`);
write("two");
shows("one,two");
await store.checkpoint(id("line"), { as: id("second") });
say(`have ${id("second")} committed`);
write("three");
shows("one,two,three");
await store.checkpoint(id("line"));
say(`have ${id("line@3")} committed`);
shows("one,two,three", "one");
say(`perhaps ${id("line@3")}`);
await store.rollback(id("line"), { to: id("line@1"), keep: id("kept") });
shows("one");
say(`have ${id("kept")} committed`);
await store.fork(id("line"), [id("fork1"), id("fork2")]);
for (const name of ["fork1", "fork2"]) say(`have ${id(name)} active`);
await line.unmount();
// As many as get a fold in the background.
for (let i = 1; i <= 8; i++) {
	await store.checkpoint(id("fork1"));
	say(`have ${id(`fork1@${i}`)} committed`);
}
for (let i = 1; i < 8; i++) say(`perhaps ${id(`fork1@${i}`)}`);
await store.squash(id("fork1"));
await store.create(id("held"), { parent: id("done") });
say(`have ${id("held")} active`);
await store.mount(id("held"));
say(`held ${id("held")}`);
await store.close();
say("closed");
