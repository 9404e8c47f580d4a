/**
 * OCI archives with any number of layers, put together here: a busybox root filesystem at the bottom, and above it
 * layers that add, replace and delete a few files each.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { makeBusyboxRoot, tarTree } from "./busybox-root.ts";
import { sha256, writeLayout } from "./oci-layout.ts";
import { run } from "./processes.ts";

export interface LayeredImageOptions {
	/** Layers, with the one at the bottom. */
	readonly layers: number;
	/** Name that `ctr images import` gives it. */
	readonly name: string;
	readonly compression?: "gzip" | "zstd";
	/** Makes its layers differ from those of other images. */
	readonly salt?: string;
}

/** Writes the archive. */
export function makeLayeredImage(target: string, options: LayeredImageOptions): void {
	const work = mkdtempSync(path.join(tmpdir(), "lamella-image-"));
	try {
		const { compression = "gzip", name } = options;
		const compress = compression === "gzip" ? gzipSync : zstdCompressSync;
		const layers = layerTars(work, options).map((tar) => {
			return { blob: compress(tar), suffix: `+${compression}`, diffId: sha256(tar) } as const;
		});
		const oci = path.join(work, "oci");
		writeLayout(oci, layers, {
			config: { Env: ["PATH=/bin"], Cmd: ["/bin/sh"] },
			annotations: { "io.containerd.image.name": name },
		});
		run("tar", ["-C", oci, "-cf", target, "."]);
	} finally {
		rmSync(work, { recursive: true, force: true });
	}
}

/** Their tars, the bottom first, made in `work`. */
export function layerTars(
	work: string,
	{ layers, salt = "" }: Pick<LayeredImageOptions, "layers" | "salt">,
): Buffer[] {
	const base = path.join(work, "base");
	makeBusyboxRoot(base);
	const tars = [tarOf(base)];
	for (let layer = 1; layer < layers; layer++) {
		const tree = path.join(work, `tree-${layer}`);
		mkdirSync(path.join(tree, "data"), { recursive: true });
		for (let i = 0; i < 3; i++) {
			writeFileSync(path.join(tree, "data", `layer-${layer}-${i}`), `${salt} ${layer} ${i}\n`.repeat(10));
		}
		writeFileSync(path.join(tree, "data/top"), `${salt} ${layer}\n`);
		// The file of two layers below goes away, and one directory is remade each time.
		if (layer > 2) writeFileSync(path.join(tree, "data", `.wh.layer-${layer - 2}-0`), "");
		mkdirSync(path.join(tree, "remade"));
		if (layer > 1) writeFileSync(path.join(tree, "remade/.wh..wh..opq"), "");
		writeFileSync(path.join(tree, "remade", `only-${layer}`), salt);
		tars.push(tarOf(tree));
	}
	return tars;
}

export function tarOf(tree: string): Buffer {
	tarTree(tree, `${tree}.tar`);
	return readFileSync(`${tree}.tar`);
}
