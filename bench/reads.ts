/**
 * Reading a container's root, packed layers against trees, through overlayfs and on one loop ext4 with a journal: all content,
 * find with stat, small and large files, random places, mapped memory, and the start of programs of the image; warm, and cold
 * after the page cache was dropped. And mounts: the first over an image, and the next.
 *
 *   node --import ./scripts/ts.mjs bench/reads.ts [--image small|full] [--rounds N] [--only TEXT]
 */
import { writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { openStore } from "../src/index.ts";
import { debianImage } from "../test/support/debian-image.ts";
import { makeFilesystem } from "../test/support/filesystems.ts";
import { run } from "../test/support/processes.ts";
import { alternate, type Contestant, report } from "./alternate.ts";

const { values } = parseArgs({
	options: {
		image: { type: "string", default: "full" },
		rounds: { type: "string", default: "5" },
		only: { type: "string", default: "" },
	},
});
const image = await debianImage(values.image === "small" ? "small" : "full");
using filesystem = makeFilesystem("ext4", 24 * 2 ** 30);
const roots = new Map<string, string>();
await using disposed = new AsyncDisposableStack();
for (const driver of ["overlay", "packed"] as const) {
	const store = disposed.use(await openStore({ root: path.join(filesystem.path, driver), driver }));
	await store.importImage(image.dockerArchive, { name: "debian:demo" });
	await store.create("reads", { from: "debian:demo" });
	const mount = await store.mount("reads");
	disposed.defer(() => mount.unmount());
	roots.set(driver, mount.path);
	writeFileSync(
		path.join(mount.path, "tmp/one.c"),
		'#include <stdio.h>\nint main(void) { return printf("1") - 1; }\n',
	);
}

const anyRoot = roots.get("overlay") ?? "";
const list = (script: string): string => {
	const file = path.join(filesystem.path, `list-${lists++}`);
	writeFileSync(file, run("sh", ["-c", `cd ${anyRoot} && ${script}`]).stdout);
	return file;
};
let lists = 0;
// The same order for both, and one that is neither's own.
const shuffled = "shuf --random-source=/bin/bash";
const small = list(`find usr -xdev -type f -size -16k | sort | ${shuffled} | head -n 3000`);
const large = list(`find usr -xdev -type f -size +1M | sort | ${shuffled} | head -n 60`);
const program = `
import sys, mmap, random
random.seed(1)
how, names = sys.argv[1], open(sys.argv[2]).read().split("\\n")
for name in names:
    if not name: continue
    with open(name, "rb") as f:
        if how == "random":
            size = f.seek(0, 2)
            for _ in range(64):
                f.seek(random.randrange(size)); f.read(4096)
        else:
            with mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
                sum(m[i] for i in range(0, len(m), 4096))
`;
const reader = path.join(filesystem.path, "reader.py");
writeFileSync(reader, program);

const inRoot = (root: string, script: string): void => {
	run("sh", ["-c", script], { cwd: root, timeoutMs: 600_000 });
};
const chrooted = (root: string, ...command: string[]): void => {
	run("chroot", [root, ...command], { timeoutMs: 600_000 });
};
const READS: Readonly<Record<string, (root: string) => void>> = {
	"all content": (root) => inRoot(root, "find . -xdev -type f -print0 | xargs -0 cat > /dev/null"),
	"find and stat": (root) => inRoot(root, "find . -xdev -printf '%s %m %T@\\n' > /dev/null"),
	"3,000 small files": (root) => inRoot(root, `xargs -a ${small} cat > /dev/null`),
	"60 large files": (root) => inRoot(root, `xargs -a ${large} cat > /dev/null`),
	"random places of large files": (root) => inRoot(root, `python3 ${reader} random ${large}`),
	"mapped large files": (root) => inRoot(root, `python3 ${reader} mapped ${large}`),
	"start of python3": (root) => chrooted(root, "/usr/bin/python3", "-c", "import json, http.client"),
	"start of node": (root) => chrooted(root, "/usr/bin/node", "-e", "require('http')"),
	"start of perl": (root) => chrooted(root, "/usr/bin/perl", "-MFile::Find", "-e", "1"),
	"gcc of one file": (root) => chrooted(root, "/usr/bin/gcc", "-O0", "-c", "-o", "/tmp/one.o", "/tmp/one.c"),
};
const drop = (): void => {
	run("sync", ["-f", filesystem.path]);
	writeFileSync("/proc/sys/vm/drop_caches", "3");
};
for (const [name, read] of Object.entries(READS)) {
	if (!name.includes(values.only)) continue;
	for (const cold of [true, false]) {
		const contestants: Contestant[] = [...roots].map(([driver, root]) => ({
			name: driver,
			prepare: () => (cold ? drop() : read(root)),
			measure: () => read(root),
		}));
		const scores = await alternate(contestants, Number(values.rounds));
		console.log(report(`${name}, ${cold ? "cold" : "warm"}`, scores));
	}
}
