/** A small image of two layers made by umoci, in each form that an import reads. */
import fs from "node:fs";
import path from "node:path";
import { run } from "../../../test/support/processes.ts";

export interface BusyboxImage {
	/** OCI layout directory, with the tag `test`. */
	readonly layout: string;
	/** The layout in a tar. */
	readonly archive: string;
	/** What skopeo writes for `docker load`, as `busybox:test`. */
	readonly dockerArchive: string;
}

/** Makes it in `directory`. The second layer adds `data/` and deletes `sys/`. */
export function makeBusyboxImage(directory: string): BusyboxImage {
	const layout = path.join(directory, "layout");
	const image = `${layout}:test`;
	run("umoci", ["init", "--layout", layout]);
	run("umoci", ["new", "--image", image]);
	addLayer(directory, image, (root) => {
		for (const name of ["bin", "dev", "etc", "proc", "root", "srv", "sys", "tmp"]) {
			fs.mkdirSync(path.join(root, name));
		}
		fs.copyFileSync("/bin/busybox", path.join(root, "bin/busybox"));
		fs.symlinkSync("busybox", path.join(root, "bin/sh"));
		fs.writeFileSync(path.join(root, "etc/issue"), "busybox\n");
	});
	addLayer(directory, image, (root) => {
		fs.mkdirSync(path.join(root, "data"));
		for (let i = 0; i < 20; i++) {
			fs.writeFileSync(path.join(root, "data", `file-${i}`), `${i}\n`.repeat(1000));
		}
		fs.rmdirSync(path.join(root, "sys"));
	});
	const settings = [
		"--config.env",
		"FROM_IMAGE=yes",
		"--config.workingdir",
		"/data",
		"--config.cmd",
		"/bin/sh",
	];
	run("umoci", ["config", "--image", image, ...settings]);
	const archive = path.join(directory, "oci.tar");
	run("tar", ["-C", layout, "-cf", archive, "."]);
	const dockerArchive = path.join(directory, "docker.tar");
	const target = `docker-archive:${dockerArchive}:busybox:test`;
	run("skopeo", ["copy", "--quiet", "--insecure-policy", `oci:${image}`, target]);
	return { layout, archive, dockerArchive };
}

function addLayer(directory: string, image: string, change: (root: string) => void): void {
	const bundle = path.join(directory, "bundle");
	run("umoci", ["unpack", "--image", image, bundle]);
	change(path.join(bundle, "rootfs"));
	run("umoci", ["repack", "--image", image, bundle]);
	fs.rmSync(bundle, { recursive: true });
}
