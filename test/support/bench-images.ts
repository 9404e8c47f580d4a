/**
 * Images for measuring, made here and kept in the cache directory beside Debian's (debian-image.ts): `files` is one layer of
 * 100,000 small files, `large` one layer of 1.2 GiB in a few hundred large ones. As OCI archives in gzip, with the plain tar.
 */
import { createHash } from "node:crypto";
import {
	createReadStream,
	existsSync,
	mkdirSync,
	mkdtempSync,
	renameSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import path from "node:path";
import { run } from "./processes.ts";

export interface BenchImage {
	/** OCI archive, its one layer in gzip. */
	readonly archive: string;
	readonly tar: string;
	readonly tarGzip: string;
}

const FORMAT = 1;
const FILES = 100_000;
const LARGE_FILES = 300;
const LARGE_FILE_BYTES = 4 << 20;

/** Makes the image where it is not there yet. */
export async function benchImage(name: "files" | "large"): Promise<BenchImage> {
	const cache = process.env.LAMELLA_TEST_CACHE ?? "/var/cache/lamella-test";
	const directory = path.join(cache, `bench-${name}-${FORMAT}`);
	const at = (file: string): string => path.join(directory, file);
	const image = { archive: at("oci.tar"), tar: at("layer.tar"), tarGzip: at("layer.tar.gz") };
	if (existsSync(directory)) return image;
	mkdirSync(cache, { recursive: true });
	const work = mkdtempSync(path.join(cache, "making-"));
	try {
		const tree = path.join(work, "tree");
		if (name === "files") makeFiles(tree);
		else makeLarge(tree);
		const done = path.join(work, "done");
		mkdirSync(path.join(done, "oci/blobs/sha256"), { recursive: true });
		run("tar", ["-C", tree, "--numeric-owner", "--sort=name", "-cf", path.join(done, "layer.tar"), "."]);
		run("gzip", ["-k", path.join(done, "layer.tar")], { timeoutMs: 600_000 });
		await writeOci(done);
		run("tar", ["-C", path.join(done, "oci"), "-cf", path.join(done, "oci.tar"), "."]);
		rmSync(path.join(done, "oci"), { recursive: true });
		renameSync(done, directory);
	} finally {
		rmSync(work, { recursive: true, force: true });
	}
	return image;
}

function makeFiles(tree: string): void {
	for (let i = 0; i < FILES; i += 1) {
		const directory = path.join(tree, `d${i % 50}/e${i % 1000}`);
		if (i < 1000) mkdirSync(directory, { recursive: true });
		writeFileSync(path.join(directory, `file-${i}`), `${i} ${"content ".repeat(i % 200)}\n`);
	}
}

/** Half of each file compresses, as programs and libraries do. */
function makeLarge(tree: string): void {
	mkdirSync(tree);
	let seed = Buffer.from("large");
	for (let i = 0; i < LARGE_FILES; i += 1) {
		const bytes = Buffer.alloc(LARGE_FILE_BYTES);
		for (let at = 0; at < bytes.length; at += 64) {
			seed = createHash("sha256").update(seed).digest();
			seed.copy(bytes, at);
		}
		writeFileSync(path.join(tree, `large-${i}`), bytes);
	}
}

async function writeOci(done: string): Promise<void> {
	const put = async (file: string): Promise<{ digest: string; size: number }> => {
		const digest = await sha256(file);
		const size = Number(run("stat", ["-c", "%s", file]).stdout);
		run("cp", [file, path.join(done, "oci/blobs/sha256", digest)]);
		return { digest: `sha256:${digest}`, size };
	};
	const document = async (type: string, content: object): Promise<object> => {
		const file = path.join(done, "document.json");
		writeFileSync(file, JSON.stringify(content));
		const stored = await put(file);
		rmSync(file);
		return { mediaType: `application/vnd.oci.image.${type}`, ...stored };
	};
	const diffId = `sha256:${await sha256(path.join(done, "layer.tar"))}`;
	const architecture = process.arch === "x64" ? "amd64" : process.arch;
	const rootfs = { type: "layers", diff_ids: [diffId] };
	const config = await document("config.v1+json", { architecture, os: "linux", config: {}, rootfs });
	const layer = {
		mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
		...(await put(path.join(done, "layer.tar.gz"))),
	};
	const mediaType = "application/vnd.oci.image.manifest.v1+json";
	const manifest = await document("manifest.v1+json", {
		schemaVersion: 2,
		mediaType,
		config,
		layers: [layer],
	});
	const annotations = { "io.containerd.image.name": "bench.test/image:demo" };
	writeFileSync(
		path.join(done, "oci/index.json"),
		JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
	);
	writeFileSync(path.join(done, "oci/oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
}

async function sha256(file: string): Promise<string> {
	const hash = createHash("sha256");
	for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
	return hash.digest("hex");
}
