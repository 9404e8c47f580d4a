import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { unmountBelow } from "../../test/support/filesystems.ts";
import * as linux from "../linux/index.ts";
import type { LayerId } from "./contract.ts";
import { openLayerStore } from "./open-store.ts";

const refused = vi.hoisted(() => ({ count: 0 }));

// What a kernel before Linux 6.5 answers. All else is this kernel's.
vi.mock("../linux/index.ts", async (importOriginal) => {
	const real = await importOriginal<typeof linux>();
	const moveMount: typeof linux.moveMount = (fromFd, from, toFd, to, flags) => {
		if ((flags & real.MOVE_MOUNT_BENEATH) !== 0) {
			refused.count += 1;
			throw new real.SystemError(22, "move_mount");
		}
		real.moveMount(fromFd, from, toFd, to, flags);
	};
	return { ...real, moveMount };
});

const id = (name: string): LayerId => name as LayerId;
let root: string;

beforeEach(() => {
	root = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
});
afterEach(() => {
	unmountBelow(root);
	rmSync(root, { recursive: true, force: true });
});

it.each(["overlay", "packed"] as const)(
	"checkpoints, rolls back, forks and squashes a mounted layer where no mount can be put beneath another (%s)",
	async (driver) => {
		await using store = await openLayerStore({ root, driver });
		await store.create(id("web"));
		await using mount = await store.mount(id("web"));
		const names = (): string[] => readdirSync(mount.path).sort();
		const add = (name: string): void => writeFileSync(path.join(mount.path, name), name);
		const before = refused.count;
		add("one");
		await store.checkpoint(id("web"), { as: id("kept") });
		add("two");
		await store.checkpoint(id("web"));
		expect(names()).toEqual(["one", "two"]);
		await store.rollback(id("web"), { to: id("kept") });
		expect(names()).toEqual(["one"]);
		add("three");
		await store.fork(id("web"), [id("fork")]);
		add("four");
		await store.squash(id("web"));
		expect(names()).toEqual(["four", "one", "three"]);
		expect(refused.count).toBeGreaterThan(before);
		const mounts = linux.readMountInfo().filter(({ mountPoint }) => mountPoint.toString() === mount.path);
		expect(mounts).toHaveLength(1);
		await using fork = await store.mount(id("fork"));
		expect(readdirSync(fork.path).sort()).toEqual(["one", "three"]);
	},
);
