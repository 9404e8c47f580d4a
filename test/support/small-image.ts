/**
 * A small image for tests of the command line: Debian's static busybox and some files, in two layers, put together by
 * umoci in about a second.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { makeBusyboxRoot } from "./busybox-root.ts";
import { run } from "./processes.ts";

export interface SmallImage {
	/** OCI layout directory. */
	readonly layout: string;
	/** The layout as an OCI archive. */
	readonly archive: string;
	/** As `docker save` would write it, by skopeo. */
	readonly dockerArchive: string;
}

/** Makes it in `directory`, which has to exist. `reference` is its name within the archives. */
export function makeSmallImage(directory: string, reference = "busybox:test"): SmallImage {
	const layout = path.join(directory, "layout");
	const tag = reference.split(":")[1] ?? "latest";
	run("umoci", ["init", "--layout", layout]);
	run("umoci", ["new", "--image", `${layout}:${tag}`]);
	changeLayer(directory, `${layout}:${tag}`, makeBusyboxRoot);
	changeLayer(directory, `${layout}:${tag}`, (rootfs) => {
		mkdirSync(path.join(rootfs, "data"));
		for (let i = 0; i < 20; i++) writeFileSync(path.join(rootfs, `data/file-${i}`), `${i}\n`.repeat(1000));
		rmSync(path.join(rootfs, "sys"), { recursive: true });
	});
	run("umoci", [
		"config",
		...["--image", `${layout}:${tag}`, "--config.env", "PATH=/bin", "--config.env", "FROM_IMAGE=yes"],
		...["--config.workingdir", "/data", "--config.cmd", "/bin/sh"],
	]);
	const archive = path.join(directory, "oci.tar");
	run("tar", ["-C", layout, "-cf", archive, "."]);
	const dockerArchive = path.join(directory, "docker.tar");
	run("skopeo", [
		...["copy", "--quiet", "--insecure-policy", `oci:${layout}:${tag}`],
		`docker-archive:${dockerArchive}:${reference}`,
	]);
	return { layout, archive, dockerArchive };
}

function changeLayer(directory: string, image: string, change: (rootfs: string) => void): void {
	const bundle = path.join(directory, "bundle");
	run("umoci", ["unpack", "--image", image, bundle]);
	change(path.join(bundle, "rootfs"));
	run("umoci", ["repack", "--image", image, bundle]);
	rmSync(bundle, { recursive: true });
}
