/** OCI layouts put together by hand, so that they can say what no tool would write. */
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";

export interface LayoutLayer {
	readonly blob: Buffer;
	/** What follows `tar` in its media type. */
	readonly suffix?: "" | "+gzip" | "+zstd";
	/** What the config promises of it (default: the digest of the blob). */
	readonly diffId?: string;
}

/** Writes a layout of one image of this machine's platform. */
export function writeLayout(
	target: string,
	layers: readonly LayoutLayer[],
	{ config = {}, annotations = {} }: { readonly config?: object; readonly annotations?: object } = {},
): void {
	mkdirSync(path.join(target, "blobs/sha256"), { recursive: true });
	const put = (content: Buffer | object, type: string): object => {
		const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
		const digest = sha256(bytes);
		writeFileSync(path.join(target, "blobs", digest.replace(":", "/")), bytes);
		return { mediaType: `application/vnd.oci.image.${type}`, digest, size: bytes.length };
	};
	const rootfs = { type: "layers", diff_ids: layers.map(({ blob, diffId }) => diffId ?? sha256(blob)) };
	const architecture = process.arch === "x64" ? "amd64" : process.arch;
	const manifest = {
		schemaVersion: 2,
		mediaType: "application/vnd.oci.image.manifest.v1+json",
		config: put({ architecture, os: "linux", config, rootfs }, "config.v1+json"),
		layers: layers.map(({ blob, suffix = "" }) => put(blob, `layer.v1.tar${suffix}`)),
	};
	const manifests = [{ ...put(manifest, "manifest.v1+json"), annotations }];
	writeFileSync(path.join(target, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
	writeFileSync(path.join(target, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
}

export function sha256(bytes: Buffer): string {
	return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
