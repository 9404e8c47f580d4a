/**
 * A real image, made by nobody's hand: Debian by debootstrap, more packages in two further layers by apt in a
 * container, and a layer that deletes and replaces; saved by docker and skopeo in every form they know.
 *
 * `small` has about 15,000 entries in 680 MB of tar (2 minutes to make); `full` about 75,000 in 1.4 GB. It is made once
 * and kept in a cache directory (LAMELLA_TEST_CACHE, default /var/cache/lamella-test).
 */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Dockerd } from "./dockerd.ts";
import { unmountBelow } from "./filesystems.ts";
import { run } from "./processes.ts";

export type ImageFlavour = "small" | "full";

export interface DebianImage {
	/** Name and tag inside the archives. */
	readonly reference: string;
	/** As `docker save` wrote it. */
	readonly dockerArchive: string;
	/** OCI archive, layers in gzip. */
	readonly ociArchiveGzip: string;
	/** OCI archive, layers in zstd. */
	readonly ociArchiveZstd: string;
	/** OCI layout directory, layers in gzip. */
	readonly ociLayoutGzip: string;
	/** OCI layout directory, layers in zstd. */
	readonly ociLayoutZstd: string;
	readonly layers: number;
}

const FORMAT = 1;

const PACKAGES: Record<ImageFlavour, readonly [string, string]> = {
	small: ["python3 perl git", "gcc libc6-dev nodejs"],
	full: ["python3 perl git curl libboost1.74-dev", "g++ nodejs npm linux-headers-amd64"],
};

/** Makes the image where it is not there yet. Needs root, debootstrap, docker.io, skopeo and Debian's archive. */
export async function debianImage(flavour: ImageFlavour = "small"): Promise<DebianImage> {
	const cache = process.env.LAMELLA_TEST_CACHE ?? "/var/cache/lamella-test";
	const directory = path.join(cache, `debian-${flavour}-${FORMAT}`);
	const image: DebianImage = {
		reference: "debian:demo",
		dockerArchive: path.join(directory, "docker.tar"),
		ociArchiveGzip: path.join(directory, "oci-gzip.tar"),
		ociArchiveZstd: path.join(directory, "oci-zstd.tar"),
		ociLayoutGzip: path.join(directory, "oci-gzip"),
		ociLayoutZstd: path.join(directory, "oci-zstd"),
		layers: 4,
	};
	if (existsSync(path.join(directory, "complete"))) return image;
	mkdirSync(cache, { recursive: true });
	rmSync(directory, { recursive: true, force: true });
	const work = mkdtempSync(path.join(cache, "making-"));
	try {
		const done = path.join(work, "done");
		mkdirSync(done);
		await build(flavour, work, path.join(done, "docker.tar"));
		const source = `docker-archive:${done}/docker.tar`;
		const skopeo = (compression: string, target: string): void => {
			const options = ["--quiet", "--insecure-policy", "--dest-compress-format", compression];
			run("skopeo", ["copy", ...options, source, target], { timeoutMs: 900_000 });
		};
		for (const compression of ["gzip", "zstd"]) {
			skopeo(compression, `oci:${done}/oci-${compression}:${image.reference}`);
			run("tar", ["-C", `${done}/oci-${compression}`, "-cf", `${done}/oci-${compression}.tar`, "."]);
		}
		writeFileSync(path.join(done, "complete"), "");
		renameSync(done, directory);
	} finally {
		unmountBelow(work);
		rmSync(work, { recursive: true, force: true });
	}
	return image;
}

async function build(flavour: ImageFlavour, work: string, archive: string): Promise<void> {
	const base = path.join(work, "base");
	run("debootstrap", ["--variant=minbase", "bookworm", base], { timeoutMs: 900_000 });
	run("tar", ["-C", base, "-cf", `${work}/base.tar`, "."]);
	const context = path.join(work, "context");
	mkdirSync(context);
	const install = "apt-get install -y --no-install-recommends";
	const [first, second] = PACKAGES[flavour];
	writeFileSync(
		path.join(context, "Dockerfile"),
		[
			"FROM debian:base",
			`RUN apt-get update && ${install} ${first} && apt-get clean`,
			`RUN ${install} ${second} && apt-get clean`,
			"RUN rm -rf /usr/share/doc /usr/share/man /var/lib/apt/lists && mkdir /usr/share/doc && echo new > /usr/share/doc/README" +
				" && rm -rf /var/log && ln -s /tmp /var/log && rm /etc/motd && mkdir /etc/motd && chmod 700 /opt",
			'CMD ["/bin/bash"]',
			"",
		].join("\n"),
	);
	await using dockerd = await Dockerd.start({ driver: "overlay2", home: path.join(work, "dockerd") });
	dockerd.docker("import", `${work}/base.tar`, "debian:base");
	// Packages are fetched by apt inside the build, so it needs the machine's network.
	await dockerd.dockerAsync("build", "--network", "host", "-t", "debian:demo", context);
	dockerd.docker("save", "-o", archive, "debian:demo");
}
