/** A root filesystem of one static busybox: what a container needs and no more. */
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { run } from "./processes.ts";

/** Writes it as a tar for `docker import`. The times are fixed, so that two images of it are one. */
export function makeBusyboxTar(target: string): void {
	const root = mkdtempSync(path.join(tmpdir(), "lamella-busybox-"));
	try {
		for (const name of ["bin", "dev", "etc", "home/user", "proc", "sys", "tmp", "usr/share/doc", "var/lib"]) {
			mkdirSync(path.join(root, name), { recursive: true });
		}
		copyFileSync("/bin/busybox", path.join(root, "bin/busybox"));
		const applets = run("/bin/busybox", ["--list"])
			.stdout.split("\n")
			.filter((name) => name !== "" && name !== "busybox");
		for (const applet of applets) symlinkSync("busybox", path.join(root, "bin", applet));
		writeFileSync(
			path.join(root, "etc/passwd"),
			"root:x:0:0:root:/:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
		);
		writeFileSync(path.join(root, "etc/group"), "root:x:0:\nuser:x:1000:\n");
		for (let i = 0; i < 20; i++)
			writeFileSync(path.join(root, "usr/share/doc", `page-${i}`), `page ${i}\n`.repeat(50));
		chmodSync(root, 0o755);
		chmodSync(path.join(root, "tmp"), 0o1777);
		run("tar", [
			"--sort=name",
			"--numeric-owner",
			"--owner=0",
			"--group=0",
			"--mtime=@1700000000",
			"-cf",
			target,
			"-C",
			root,
			".",
		]);
	} finally {
		rmSync(root, { recursive: true, force: true });
	}
}
