/**
 * OCI archives with any number of layers, put together here: a busybox root filesystem at the bottom, and above it
 * layers that add, replace and delete a few files each.
 */
import { createHash } from "node:crypto";
import {
	chmodSync,
	copyFileSync,
	mkdirSync,
	mkdtempSync,
	readFileSync,
	rmSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { run } from "./processes.ts";

export interface LayeredImageOptions {
	/** Layers, with the one at the bottom. */
	readonly layers: number;
	/** Name that `ctr images import` gives it. */
	readonly name: string;
	readonly compression?: "gzip" | "zstd" | "none";
	/** Makes its layers differ from those of other images. */
	readonly salt?: string;
	/** Files that each upper layer adds. */
	readonly files?: number;
}

/** Writes the archive. */
export function makeLayeredImage(target: string, options: LayeredImageOptions): void {
	const work = mkdtempSync(path.join(tmpdir(), "lamella-image-"));
	try {
		const blobs = path.join(work, "oci/blobs/sha256");
		mkdirSync(blobs, { recursive: true });
		const put = (bytes: Buffer, mediaType: string): { mediaType: string; digest: string; size: number } => {
			const hex = createHash("sha256").update(bytes).digest("hex");
			writeFileSync(path.join(blobs, hex), bytes);
			return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
		};
		const tars = layerTars(work, options);
		const { compression = "gzip" } = options;
		const suffix = compression === "none" ? "" : `+${compression}`;
		const layers = tars.map((tar) =>
			put(compress(tar, compression), `application/vnd.oci.image.layer.v1.tar${suffix}`),
		);
		const diffIds = tars.map((tar) => `sha256:${createHash("sha256").update(tar).digest("hex")}`);
		const config = put(
			Buffer.from(
				JSON.stringify({
					architecture: process.arch === "x64" ? "amd64" : process.arch,
					os: "linux",
					config: { Env: ["PATH=/bin"], Cmd: ["/bin/sh"] },
					rootfs: { type: "layers", diff_ids: diffIds },
				}),
			),
			"application/vnd.oci.image.config.v1+json",
		);
		const manifest = put(
			Buffer.from(
				JSON.stringify({
					schemaVersion: 2,
					mediaType: "application/vnd.oci.image.manifest.v1+json",
					config,
					layers,
				}),
			),
			"application/vnd.oci.image.manifest.v1+json",
		);
		const annotations = { "io.containerd.image.name": options.name };
		writeFileSync(
			path.join(work, "oci/index.json"),
			JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
		);
		writeFileSync(path.join(work, "oci/oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
		run("tar", ["-C", path.join(work, "oci"), "-cf", target, "."]);
	} finally {
		rmSync(work, { recursive: true, force: true });
	}
}

function layerTars(work: string, { layers, salt = "", files = 3 }: LayeredImageOptions): Buffer[] {
	const tars = [tarOf(work, baseTree(work))];
	for (let layer = 1; layer < layers; layer++) {
		const tree = path.join(work, `tree-${layer}`);
		mkdirSync(path.join(tree, "data"), { recursive: true });
		for (let i = 0; i < files; i++) {
			writeFileSync(path.join(tree, "data", `layer-${layer}-${i}`), `${salt} ${layer} ${i}\n`.repeat(10));
		}
		writeFileSync(path.join(tree, "data/top"), `${salt} ${layer}\n`);
		// The file of two layers below goes away, and one directory is remade each time.
		if (layer > 2) writeFileSync(path.join(tree, "data", `.wh.layer-${layer - 2}-0`), "");
		mkdirSync(path.join(tree, "remade"));
		if (layer > 1) writeFileSync(path.join(tree, "remade/.wh..wh..opq"), "");
		writeFileSync(path.join(tree, "remade", `only-${layer}`), salt);
		tars.push(tarOf(work, tree));
		rmSync(tree, { recursive: true });
	}
	return tars;
}

const APPLETS =
	"sh cat cp chmod chown dd echo env false find id kill ln ls mkdir mkfifo mv ps rm sleep stat sync test touch true";

function baseTree(work: string): string {
	const tree = path.join(work, "base");
	for (const name of ["bin", "dev", "etc", "proc", "sys", "tmp", "var/lib"]) {
		mkdirSync(path.join(tree, name), { recursive: true });
	}
	copyFileSync("/bin/busybox", path.join(tree, "bin/busybox"));
	for (const applet of APPLETS.split(" ")) symlinkSync("busybox", path.join(tree, "bin", applet));
	writeFileSync(path.join(tree, "etc/passwd"), "root:x:0:0:root:/:/bin/sh\n");
	writeFileSync(path.join(tree, "etc/group"), "root:x:0:\n");
	chmodSync(path.join(tree, "tmp"), 0o1777);
	return tree;
}

function tarOf(work: string, tree: string): Buffer {
	const file = path.join(work, "layer.tar");
	const fixed = ["--sort=name", "--numeric-owner", "--owner=0", "--group=0", "--mtime=@1700000000"];
	run("tar", [...fixed, "-cf", file, "-C", tree, "."]);
	return readFileSync(file);
}

function compress(tar: Buffer, compression: "gzip" | "zstd" | "none"): Buffer {
	if (compression === "none") return tar;
	if (compression === "gzip") return gzipSync(tar);
	const file = path.join(mkdtempSync(path.join(tmpdir(), "lamella-zstd-")), "layer");
	try {
		writeFileSync(file, tar);
		run("zstd", ["-q", "-f", file, "-o", `${file}.zst`]);
		return readFileSync(`${file}.zst`);
	} finally {
		rmSync(path.dirname(file), { recursive: true, force: true });
	}
}
