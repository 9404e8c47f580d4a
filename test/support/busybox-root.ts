/** A root filesystem of one static busybox: what a container needs and no more. */
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { run } from "./processes.ts";

const DIRECTORIES = "bin dev etc home/user proc root srv sys tmp usr/share/doc var/lib";
const APPLETS =
	"sh cat cp chmod chown dd echo env false find hostname id kill ln ls mkdir mkfifo mv ps pwd rm sleep stat sync test touch true";

/** Makes it in `root`, which may be there already. */
export function makeBusyboxRoot(root: string, applets: readonly string[] = APPLETS.split(" ")): void {
	for (const name of DIRECTORIES.split(" ")) mkdirSync(path.join(root, name), { recursive: true });
	copyFileSync("/bin/busybox", path.join(root, "bin/busybox"));
	for (const applet of applets) symlinkSync("busybox", path.join(root, "bin", applet));
	const users = ["root:x:0:0:root:/:/bin/sh", "ann:x:1000:1000::/:/bin/sh"];
	writeFileSync(path.join(root, "etc/passwd"), `${users.join("\n")}\n`);
	writeFileSync(path.join(root, "etc/group"), "root:x:0:\nann:x:1000:\n");
	writeFileSync(path.join(root, "etc/issue"), "busybox\n");
	chmodSync(root, 0o755);
	chmodSync(path.join(root, "tmp"), 0o1777);
}

/** Writes it, with all applets and some pages, as a tar for `docker import`. */
export function makeBusyboxTar(target: string): void {
	const root = mkdtempSync(path.join(tmpdir(), "lamella-busybox-"));
	try {
		const applets = run("/bin/busybox", ["--list"]).stdout.split("\n");
		makeBusyboxRoot(
			root,
			applets.filter((name) => name !== "" && name !== "busybox"),
		);
		for (let i = 0; i < 20; i++)
			writeFileSync(path.join(root, "usr/share/doc", `page-${i}`), `page ${i}\n`.repeat(50));
		tarTree(root, target);
	} finally {
		rmSync(root, { recursive: true, force: true });
	}
}

/** By tar itself. Owners, order and times are fixed, so that two tars of a tree are one. */
export function tarTree(tree: string, target: string): void {
	const fixed = ["--sort=name", "--numeric-owner", "--owner=0", "--group=0", "--mtime=@1700000000"];
	run("tar", [...fixed, "-cf", target, "-C", tree, "."]);
}
