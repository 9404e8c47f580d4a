/** A process for tests that works at a store which others work at too: `node hammer-child.js ROOT NAME`. */
import { openLayerStore, parseLayerId } from "../index.ts";

const [root = "", name = ""] = process.argv.slice(2);
const shared = parseLayerId("shared");
await using store = await openLayerStore({ root, threads: 1 });
for (let round = 0; round < 8; round++) {
	const own = parseLayerId(`${name}-${round}`);
	await store.create(own);
	await Promise.all([
		store.mount(shared).then((mount) => mount.unmount()),
		store.mount(shared).then((mount) => mount.unmount()),
		store.mount(own).then((mount) => mount.unmount()),
	]);
	// Of the two processes one makes it, and the other is told.
	const disputed = parseLayerId(`disputed-${round}`);
	try {
		await store.create(disputed);
		await store.remove(disputed);
	} catch (error) {
		if (Reflect.get(error as Error, "code") !== "EEXISTS") throw error;
	}
	await store.remove(own);
}
await store.create(parseLayerId(`${name}-kept`));
