import {
	chmodSync,
	chownSync,
	lchownSync,
	linkSync,
	lstatSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	statSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import path from "node:path";
import { status } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { run } from "../../../../test/support/processes.ts";
import { codeOf, SnapshotsClient } from "../../../../test/support/snapshots-client.ts";
import { SnapshotsUnderTest } from "../../../../test/support/snapshots-under-test.ts";
import { realtimeNs } from "../../../linux/index.ts";
import { createLogger } from "../../log.ts";
import { Kind } from "../generated/containerd/services/snapshots/v1/snapshots_pb.ts";
import type { Mount } from "../generated/containerd/types/mount_pb.ts";
import { serveContainerd } from "../serve.ts";

let under: SnapshotsUnderTest;
let client: SnapshotsClient;

beforeAll(async () => {
	under = await SnapshotsUnderTest.open();
	client = await under.serve();
});
afterEach(() => under.unmountAll());
afterAll(() => under?.[Symbol.asyncDispose]());

const fresh = (name: string): string => under.fresh(name);
const within = <R>(mounts: readonly Mount[], work: (root: string) => R): R => under.within(mounts, work);
const layer = (parent: string, work: (root: string) => void): Promise<string> =>
	under.layer(client, parent, work);

async function seen<R>(name: string, look: (root: string) => R): Promise<R> {
	const key = fresh("view");
	const looked = within(await client.view(key, name), look);
	await client.remove(key);
	return looked;
}

const file = (root: string, name: string, text: string): void => {
	mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
	writeFileSync(path.join(root, name), text);
};
const text = (root: string, name: string): string => readFileSync(path.join(root, name), "utf8");
const modeOf = (file: string): number => lstatSync(file).mode & 0o7777;

describe("keys, kinds and parents", () => {
	it("prepares, writes, commits, and prepares over what was committed", async () => {
		const base = await layer("", (root) => file(root, "a/b", "one"));
		const next = await layer(base, (root) => file(root, "a/c", "two"));
		const tree = await seen(next, (root) => [text(root, "a/b"), text(root, "a/c")]);
		expect(tree).toEqual(["one", "two"]);
	});

	it("stats active, view and committed snapshots", async () => {
		const base = await layer("", () => undefined);
		const active = fresh("active");
		const view = fresh("view");
		await client.prepare(active, base, { "containerd.io/snapshot/a": "b" });
		await client.view(view, base);
		expect(await client.stat(active)).toMatchObject({
			name: active,
			parent: base,
			kind: Kind.ACTIVE,
			labels: { "containerd.io/snapshot/a": "b" },
		});
		expect(await client.stat(view)).toMatchObject({ name: view, parent: base, kind: Kind.VIEW });
		expect(await client.stat(base)).toMatchObject({
			name: base,
			parent: "",
			kind: Kind.COMMITTED,
			labels: {},
		});
		await client.commit(`${base}/2`, active);
		expect(await client.stat(`${base}/2`)).toMatchObject({ parent: base, kind: Kind.COMMITTED, labels: {} });
		expect(await codeOf(client.stat(active))).toBe(status.NOT_FOUND);
	});

	it("keeps the chain of parents through commits", async () => {
		const first = await layer("", () => undefined);
		const second = await layer(first, () => undefined);
		const third = await layer(second, () => undefined);
		expect((await client.stat(third)).parent).toBe(second);
		expect((await client.stat(second)).parent).toBe(first);
	});

	it("refuses to prepare or view what is taken, over what is missing, or over what is not committed", async () => {
		const base = await layer("", () => undefined);
		const taken = fresh("taken");
		await client.prepare(taken, base);
		for (const make of [client.prepare.bind(client), client.view.bind(client)]) {
			expect(await codeOf(make(taken, base))).toBe(status.ALREADY_EXISTS);
			expect(await codeOf(make(base, base))).toBe(status.ALREADY_EXISTS);
			expect(await codeOf(make(fresh("k"), "missing"))).toBe(status.NOT_FOUND);
			expect(await codeOf(make(fresh("k"), taken))).toBe(status.INVALID_ARGUMENT);
			expect(await codeOf(make("", base))).toBe(status.INVALID_ARGUMENT);
			expect(await codeOf(make("a\0b", base))).toBe(status.INVALID_ARGUMENT);
		}
		expect((await client.stat(taken)).kind).toBe(Kind.ACTIVE);
	});

	it("refuses to commit views, committed ones, missing ones, and onto a name that is taken", async () => {
		const base = await layer("", () => undefined);
		const view = fresh("view");
		const active = fresh("active");
		await client.view(view, base);
		await client.prepare(active, base);
		expect(await codeOf(client.commit(fresh("n"), view))).toBe(status.FAILED_PRECONDITION);
		expect(await codeOf(client.commit(fresh("n"), base))).toBe(status.FAILED_PRECONDITION);
		expect(await codeOf(client.commit(fresh("n"), "missing"))).toBe(status.NOT_FOUND);
		expect(await codeOf(client.commit(base, active))).toBe(status.ALREADY_EXISTS);
		expect(await codeOf(client.commit(active, active))).toBe(status.ALREADY_EXISTS);
		expect((await client.stat(active)).kind).toBe(Kind.ACTIVE);
	});

	it("takes keys and names as containerd's own snapshotters do: with tabs and newlines, and long ones", async () => {
		for (const odd of ["tab\tnew\nline\x7f", "☃".repeat(1365)]) {
			const key = fresh(odd);
			const name = fresh(`${odd}, committed`);
			await client.prepare(key);
			await client.commit(name, key);
			await client.prepare(key, name);
			expect(await client.stat(key)).toMatchObject({ name: key, parent: name });
			expect(await client.names(`parent==${JSON.stringify(name)}`)).toEqual([key]);
			await client.remove(key);
			await client.remove(name);
		}
	});

	it("finds no key to commit before it looks at the name", async () => {
		const base = await layer("", () => undefined);
		for (const name of [fresh("n"), base, "missing", "", "a\0b"]) {
			expect(await codeOf(client.commit(name, "missing"))).toBe(status.NOT_FOUND);
		}
	});

	it("frees the key at commit and at removal", async () => {
		const key = fresh("again");
		await client.prepare(key);
		await client.commit(fresh("n"), key);
		await client.prepare(key);
		await client.remove(key);
		await client.prepare(key);
		expect((await client.stat(key)).kind).toBe(Kind.ACTIVE);
	});

	it("does not remove what has children, and removes from the top", async () => {
		const base = await layer("", () => undefined);
		const next = await layer(base, () => undefined);
		const active = fresh("active");
		await client.prepare(active, next);
		expect(await codeOf(client.remove(base))).toBe(status.FAILED_PRECONDITION);
		expect(await codeOf(client.remove(next))).toBe(status.FAILED_PRECONDITION);
		for (const name of [active, next, base]) {
			await client.remove(name);
			expect(await codeOf(client.stat(name))).toBe(status.NOT_FOUND);
			expect(await codeOf(client.remove(name))).toBe(status.NOT_FOUND);
		}
	});

	it("gives mounts of active snapshots and views, the same each time, and none of committed ones", async () => {
		const base = await layer("", () => undefined);
		const active = fresh("active");
		const mounts = await client.prepare(active, base);
		expect(await client.mounts(active)).toEqual(mounts);
		expect(await codeOf(client.mounts(base))).toBe(status.FAILED_PRECONDITION);
		expect(await codeOf(client.mounts("missing"))).toBe(status.NOT_FOUND);
	});

	it("describes a bind without parents and for a view of one layer, and one plain overlay else", async () => {
		const base = await layer("", () => undefined);
		const next = await layer(base, () => undefined);
		const kinds = async (mounts: Promise<Mount[]>) =>
			(await mounts).map(({ type, options }) => [type, ...options.map((o) => o.split("=")[0])]);
		expect(await kinds(client.prepare(fresh("k")))).toEqual([["bind", "rw", "rbind"]]);
		expect(await kinds(client.view(fresh("k")))).toEqual([["bind", "ro", "rbind"]]);
		expect(await kinds(client.view(fresh("k"), base))).toEqual([["bind", "ro", "rbind"]]);
		const [overlay] = await client.prepare(fresh("k"), next);
		expect(overlay?.type).toBe("overlay");
		const names = (overlay?.options ?? []).map((o) => o.split("=")[0]);
		expect(names.filter((name) => name?.endsWith("dir"))).toEqual([
			"redirect_dir",
			"workdir",
			"upperdir",
			"lowerdir",
		]);
		const [view] = await client.view(fresh("k"), next);
		expect(view?.type).toBe("overlay");
		expect(view?.options.some((o) => o.startsWith("upperdir="))).toBe(false);
	});
});

describe("labels", () => {
	it("replaces labels at commit and drops empty ones", async () => {
		const key = fresh("k");
		const name = fresh("n");
		await client.prepare(key, "", { a: "1", empty: "" });
		expect((await client.stat(key)).labels).toEqual({ a: "1" });
		await client.commit(name, key, { b: "2" });
		expect((await client.stat(name)).labels).toEqual({ b: "2" });
	});

	it("updates by mask: one label, one removed, all of them, and nothing else", async () => {
		const key = fresh("k");
		await client.prepare(key, "", { a: "1", b: "2", "x.y/z": "3" });
		const before = await client.stat(key);
		await client.update({ name: key, labels: { a: "one", b: "ignored" } }, ["labels.a"]);
		expect((await client.stat(key)).labels).toEqual({ a: "one", b: "2", "x.y/z": "3" });
		const removed = await client.update({ name: key, labels: {} }, ["labels.x.y/z"]);
		expect(removed.labels).toEqual({ a: "one", b: "2" });
		await client.update({ name: key, labels: { c: "4" } }, ["labels"]);
		expect((await client.stat(key)).labels).toEqual({ c: "4" });
		await client.update({ name: key, labels: { d: "5" } });
		const after = await client.stat(key);
		expect(after.labels).toEqual({ d: "5" });
		expect(after.createdAt).toEqual(before.createdAt);
		for (const wrong of ["parent", "kind", "name", "created_at"]) {
			expect(await codeOf(client.update({ name: key }, [wrong]))).toBe(status.INVALID_ARGUMENT);
		}
		expect(await codeOf(client.update({ name: "missing" }, ["labels"]))).toBe(status.NOT_FOUND);
		expect(await codeOf(client.update({ name: "" }, ["labels"]))).toBe(status.INVALID_ARGUMENT);
		expect((await client.stat(key)).labels).toEqual({ d: "5" });
	});

	it("says when in nanoseconds: the time of an update lies between two readings of the clock", async () => {
		const key = fresh("k");
		await client.prepare(key);
		let finerThanMs = 0;
		for (let i = 0; i < 5; i++) {
			const beforeNs = realtimeNs();
			const { updatedAt } = await client.update({ name: key, labels: { i: String(i) } });
			const ns = (updatedAt?.seconds ?? 0n) * 1_000_000_000n + BigInt(updatedAt?.nanos ?? 0);
			expect(ns >= beforeNs && ns <= realtimeNs()).toBe(true);
			if ((updatedAt?.nanos ?? 0) % 1_000_000 !== 0) finerThanMs += 1;
		}
		expect(finerThanMs).toBeGreaterThan(0);
	});

	it("takes the timestamps of the year 1 that Go's empty times are sent as, and updates committed ones", async () => {
		const name = await layer("", () => undefined);
		const never = { seconds: -62_135_596_800n, nanos: 0 };
		const updated = await client.update(
			{ name, parent: "", kind: Kind.UNKNOWN, createdAt: never, updatedAt: never, labels: { a: "b" } },
			["labels.a"],
		);
		expect(updated.labels).toEqual({ a: "b" });
		expect(Number(updated.createdAt?.seconds)).toBeGreaterThan(1_600_000_000);
	});

	it("loses none of many updates at once", async () => {
		const key = fresh("k");
		await client.prepare(key);
		const names = Array.from({ length: 20 }, (_, i) => `l${i}`);
		await Promise.all(
			names.map((name) => client.update({ name: key, labels: { [name]: "x" } }, [`labels.${name}`])),
		);
		expect(Object.keys((await client.stat(key)).labels).sort()).toEqual([...names].sort());
	});

	it("refuses a label without a key", async () => {
		expect(await codeOf(client.prepare(fresh("k"), "", { "": "v" }))).toBe(status.INVALID_ARGUMENT);
		const key = fresh("k");
		await client.prepare(key, "", { "": "" });
		expect(await codeOf(client.update({ name: key, labels: { "": "v" } }))).toBe(status.INVALID_ARGUMENT);
		expect(await codeOf(client.update({ name: key, labels: { "": "v" } }, ["labels."]))).toBe(
			status.INVALID_ARGUMENT,
		);
		expect((await client.stat(key)).labels).toEqual({});
	});

	it("refuses a label of more than 4096 bytes", async () => {
		const long = "v".repeat(4096);
		expect(await codeOf(client.prepare(fresh("k"), "", { k: long }))).toBe(status.INVALID_ARGUMENT);
		const key = fresh("k");
		await client.prepare(key, "", { k: long.slice(1), "tab\tnew\nline": "\0" });
		expect(await codeOf(client.prepare(fresh("k"), "", { [`${long}k`]: "" }))).toBe(status.INVALID_ARGUMENT);
		expect(await codeOf(client.update({ name: key, labels: { k: long } }))).toBe(status.INVALID_ARGUMENT);
		expect(await codeOf(client.commit(fresh("n"), key, { k: long }))).toBe(status.INVALID_ARGUMENT);
	});
});

describe("walks", () => {
	it("lists by filters: alternatives between them, all of one", async () => {
		const base = await layer("", () => undefined);
		const a = fresh("walk-a");
		const b = fresh("walk-b");
		await client.prepare(a, base, { "walk/x": "1" });
		await client.view(b, base, { "walk/x": "2" });
		expect(await client.names(`parent=="${base}"`)).toEqual([a, b].sort());
		expect(await client.names(`parent=="${base}",kind==view`)).toEqual([b]);
		expect(await client.names(`name=="${a}"`, `name=="${base}"`)).toEqual([a, base].sort());
		expect(await client.names('labels."walk/x"==2')).toEqual([b]);
		expect(await client.names('labels."walk/x"')).toEqual([a, b].sort());
		expect(await codeOf(client.names("name="))).toBe(status.INVALID_ARGUMENT);
		expect((await client.names()).length).toBeGreaterThan(3);
	});

	it("streams more than one message", async () => {
		const base = await layer("", () => undefined);
		for (let i = 0; i < 150; i++) await client.view(fresh("many"), base);
		expect(await client.names(`parent=="${base}"`)).toHaveLength(150);
	});

	it("shows nothing of what others keep in the store, and touches nothing of it", async () => {
		await under.store.create("theirs" as never);
		expect(await client.names("name==theirs")).toEqual([]);
		expect((await client.list()).some(({ name }) => name.includes("theirs"))).toBe(false);
		expect(await codeOf(client.stat("theirs"))).toBe(status.NOT_FOUND);
		expect(await codeOf(client.remove("theirs"))).toBe(status.NOT_FOUND);
		expect(under.store.has("theirs" as never)).toBe(true);
	});
});

describe("files", () => {
	it("shows a file that a layer above changed, and the old one below", async () => {
		const base = await layer("", (root) => file(root, "f", "one"));
		const next = await layer(base, (root) => file(root, "f", "two"));
		expect(await seen(next, (root) => text(root, "f"))).toBe("two");
		expect(await seen(base, (root) => text(root, "f"))).toBe("one");
	});

	it("shows nothing of a directory that was removed and made anew", async () => {
		const base = await layer("", (root) => {
			file(root, "d/old", "");
			file(root, "d/sub/older", "");
		});
		const next = await layer(base, (root) => {
			rmSync(path.join(root, "d"), { recursive: true });
			file(root, "d/new", "");
		});
		const top = await layer(next, (root) => file(root, "d/newer", ""));
		expect(await seen(top, (root) => readdirSync(path.join(root, "d")).sort())).toEqual(["new", "newer"]);
	});

	it("keeps owners that a layer above changed, symlinks' too", async () => {
		const base = await layer("", (root) => {
			file(root, "dir/f", "x");
			symlinkSync("f", path.join(root, "dir/l"));
		});
		const next = await layer(base, (root) => {
			chownSync(path.join(root, "dir"), 1, 2);
			chownSync(path.join(root, "dir/f"), 3, 4);
			lchownSync(path.join(root, "dir/l"), 5, 6);
		});
		const owners = await seen(next, (root) =>
			["dir", "dir/f", "dir/l"].map((name) => {
				const { uid, gid } = lstatSync(path.join(root, name));
				return [uid, gid];
			}),
		);
		expect(owners).toEqual([
			[1, 2],
			[3, 4],
			[5, 6],
		]);
	});

	it("keeps a directory's permissions through commits", async () => {
		const base = await layer("", (root) => {
			for (const [name, mode] of [
				["a", 0o700],
				["b", 0o1777],
				["c", 0o555],
			] as const) {
				mkdirSync(path.join(root, name));
				chmodSync(path.join(root, name), mode);
			}
		});
		const next = await layer(base, (root) => chmodSync(path.join(root, "a"), 0o751));
		const top = await layer(next, (root) => file(root, "b/f", ""));
		expect(await seen(top, (root) => ["a", "b", "c"].map((name) => modeOf(path.join(root, name))))).toEqual([
			0o751, 0o1777, 0o555,
		]);
	});

	it("gives a new root directory to root with 0755, and keeps what a layer made of it", async () => {
		const key = fresh("root");
		within(await client.prepare(key), (root) => expect(modeOf(root)).toBe(0o755));
		const base = await layer("", (root) => {
			chmodSync(root, 0o711);
			chownSync(root, 7, 8);
		});
		const next = await layer(base, () => undefined);
		const [mode, uid, gid] = await seen(next, (root) => [
			modeOf(root),
			statSync(root).uid,
			statSync(root).gid,
		]);
		expect([mode, uid, gid]).toEqual([0o711, 7, 8]);
	});

	it("hides files that a layer deleted", async () => {
		const base = await layer("", (root) => {
			file(root, "gone", "");
			file(root, "stays", "");
			file(root, "dir/inner", "");
		});
		const next = await layer(base, (root) => {
			rmSync(path.join(root, "gone"));
			rmSync(path.join(root, "dir"), { recursive: true });
		});
		expect(await seen(next, (root) => readdirSync(root).filter((name) => name !== "lost+found"))).toEqual([
			"stays",
		]);
	});

	it("moves a file and renames a directory of a lower layer", async () => {
		const base = await layer("", (root) => {
			file(root, "d1/f", "moved");
			file(root, "d2/g", "inside");
		});
		const next = await layer(base, (root) => {
			mkdirSync(path.join(root, "to"));
			renameSync(path.join(root, "d1/f"), path.join(root, "to/f"));
			// Without redirect_dir overlayfs answers EXDEV, and mv copies.
			run("mv", [path.join(root, "d2"), path.join(root, "d3")]);
		});
		expect(
			await seen(next, (root) => [
				text(root, "to/f"),
				text(root, "d3/g"),
				readdirSync(path.join(root, "d1")),
			]),
		).toEqual(["moved", "inside", []]);
		expect(await seen(next, (root) => readdirSync(root).includes("d2"))).toBe(false);
	});

	it("keeps hard links that a layer made", async () => {
		const base = await layer("", (root) => {
			file(root, "a", "x");
			linkSync(path.join(root, "a"), path.join(root, "b"));
		});
		expect(await seen(base, (root) => statSync(path.join(root, "a")).nlink)).toBe(2);
	});

	it("mounts views read-only", async () => {
		const base = await layer("", (root) => file(root, "f", "x"));
		const next = await layer(base, (root) => file(root, "g", "x"));
		for (const name of [base, next]) {
			await seen(name, (root) => expect(() => writeFileSync(path.join(root, "f"), "y")).toThrow(/EROFS/));
		}
	});

	it("goes on from a layer whose siblings were removed", async () => {
		const base = await layer("", (root) => file(root, "f", "base"));
		const left = await layer(base, (root) => file(root, "f", "left"));
		const right = await layer(base, (root) => file(root, "f", "right"));
		await client.remove(left);
		await client.cleanup();
		expect(await seen(right, (root) => text(root, "f"))).toBe("right");
		expect(await seen(base, (root) => text(root, "f"))).toBe("base");
	});

	it("stacks 128 layers", async () => {
		let top = "";
		for (let i = 0; i < 128; i++) {
			top = await layer(top, (root) => {
				file(root, "count", String(i));
				file(root, `each/${i}`, String(i));
				if (i > 0) rmSync(path.join(root, `each/${i - 1}`));
			});
		}
		const key = fresh("deep");
		const mounts = await client.prepare(key, top);
		within(mounts, (root) => {
			expect(text(root, "count")).toBe("127");
			expect(readdirSync(path.join(root, "each"))).toEqual(["127"]);
		});
		expect(mounts[0]?.options.join(",").length).toBeLessThan(4096);
	}, 300_000);
});

describe("usage and cleanup", () => {
	it("counts active and committed snapshots as their upper directories are", async () => {
		const key = fresh("usage");
		const name = fresh("usage");
		const mounts = await client.prepare(key);
		const empty = await client.usage(key);
		within(mounts, (root) => {
			writeFileSync(path.join(root, "f"), Buffer.alloc(1 << 20, 1));
			linkSync(path.join(root, "f"), path.join(root, "g"));
			run("truncate", ["-s", "1G", path.join(root, "hole")]);
			run("sync", ["-f", root]);
		});
		const full = await client.usage(key);
		expect(full.sizeBytes - empty.sizeBytes).toBe(1 << 20);
		expect(full.inodes - empty.inodes).toBe(2);
		await client.commit(name, key);
		expect(await client.usage(name)).toEqual(full);
		expect(await codeOf(client.usage("missing"))).toBe(status.NOT_FOUND);
	});

	it("gives the disk back", async () => {
		const name = await layer("", (root) => file(root, "f", "x".repeat(1 << 20)));
		const { directory } = under.store.get(`containerd/${name}` as never);
		await client.remove(name);
		await client.cleanup();
		expect(() => statSync(directory)).toThrow(/ENOENT/);
	});
});

describe("what can be chosen", () => {
	const REF = "containerd.io/snapshot.ref";
	const UPPER = "containerd.io/snapshot/overlay.upperdir";
	const MAPS = {
		"containerd.io/snapshot/uidmapping": "0:100000:65536",
		"containerd.io/snapshot/gidmapping": "0:200000:65536",
	};

	it("answers AlreadyExists to a Prepare for what is committed over the same parent, and is found by the label", async () => {
		const other = await under.serve({ remoteSnapshots: true });
		const key = fresh("extract");
		const name = fresh("sha256:one");
		await other.prepare(key, "", { [REF]: "sha256:one" });
		await other.commit(name, key, { [REF]: "sha256:one" });
		expect(await codeOf(other.prepare(fresh("extract"), "", { [REF]: "sha256:one" }))).toBe(
			status.ALREADY_EXISTS,
		);
		expect(await other.names(`labels."${REF}"==sha256:one,parent==""`)).toEqual([name]);
		await other.prepare(fresh("extract"), name, { [REF]: "sha256:one" });
		await other.prepare(fresh("extract"), "", { [REF]: "sha256:two" });
		await client.prepare(fresh("extract"), "", { [REF]: "sha256:one" });
	});

	it("tells the upper directory in a label that an Update cannot keep", async () => {
		const other = await under.serve({ upperdirLabel: true });
		const base = await layer("", () => undefined);
		const key = fresh("k");
		await other.prepare(key, base, { mine: "1" });
		const info = await other.stat(key);
		within(await other.mounts(key), (root) => file(root, "f", "x"));
		expect(text(info.labels[UPPER] ?? "", "f")).toBe("x");
		await other.update({ name: key, labels: info.labels });
		expect((await client.stat(key)).labels).toEqual({ mine: "1" });
		expect((await other.list(`name=="${key}"`))[0]?.labels[UPPER]).toBe(info.labels[UPPER]);
		expect((await other.stat(base)).labels).toEqual({});
	});

	it("puts ID maps into the mount options, with the mapped root as owner of the new directory", async () => {
		const base = await layer("", (root) => chmodSync(root, 0o750));
		const ownerOf = (directory = ""): number[] => [statSync(directory).uid, statSync(directory).gid];
		const [mount] = await client.prepare(fresh("mapped"), base, MAPS);
		expect(mount?.options).toContain("uidmap=0:100000:65536");
		expect(mount?.options).toContain("gidmap=0:200000:65536");
		const upper = mount?.options.find((option) => option.startsWith("upperdir="))?.slice("upperdir=".length);
		expect(ownerOf(upper)).toEqual([100_000, 200_000]);
		expect(modeOf(upper ?? "")).toBe(0o750);
		const [empty] = await client.prepare(fresh("mapped"), "", MAPS);
		expect(empty?.options).toEqual(["rw", "rbind"]);
		expect(ownerOf(empty?.source)).toEqual([100_000, 200_000]);
		const uidLabel = "containerd.io/snapshot/uidmapping";
		for (const wrong of [{ ...MAPS, [uidLabel]: "0:1" }, { [uidLabel]: MAPS[uidLabel] }]) {
			expect(await codeOf(client.prepare(fresh("k"), base, wrong))).toBe(status.INVALID_ARGUMENT);
		}
	});

	it("refuses ID maps where they are not wanted", async () => {
		const other = await under.serve({ idMaps: "refuse" });
		expect(await codeOf(other.prepare(fresh("k"), "", MAPS))).toBe(status.INVALID_ARGUMENT);
	});
});

describe("the server", () => {
	it("closes twice, and is then gone with its socket", async () => {
		const socket = path.join(under.filesystem.path, "closed.sock");
		const other = await serveContainerd({ store: under.store, socket, log: createLogger("silent") });
		using caller = new SnapshotsClient(socket);
		await caller.list();
		await Promise.all([other.close(), other.close()]);
		await other.close();
		expect(() => statSync(socket)).toThrow(/ENOENT/);
		expect(await codeOf(caller.list())).toBe(status.UNAVAILABLE);
	});

	it("serves many calls at once", async () => {
		const base = await layer("", () => undefined);
		const keys = Array.from({ length: 60 }, () => fresh("many"));
		await Promise.all(keys.map((key) => client.prepare(key, base)));
		expect(await client.names(`parent=="${base}"`)).toEqual([...keys].sort());
		await Promise.all(keys.map((key) => client.remove(key)));
		expect(await client.names(`parent=="${base}"`)).toEqual([]);
	});
});
