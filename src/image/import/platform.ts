/**
 * Which image of a multi-platform index is for this machine, or for a platform that a person names. A processor runs what is made
 * for its older variants, too, best first; the order is that of containerd's matcher (package platforms, `Only`).
 */
import { LamellaError } from "../../errors/index.ts";
import type { Descriptor, Platform } from "../documents/parse.ts";

/** Node's names of processors in the image formats' (Go's) words. */
const GO_ARCHITECTURES: Readonly<Record<string, string>> = {
	x64: "amd64",
	ia32: "386",
	arm64: "arm64",
	arm: "arm",
	ppc64: "ppc64le",
	s390x: "s390x",
	riscv64: "riscv64",
	loong64: "loong64",
	mips: "mips",
	mipsel: "mipsle",
};

/** This machine's architecture as image configs write it. */
export function hostArchitecture(): string {
	return GO_ARCHITECTURES[process.arch] ?? process.arch;
}

/** Other names of architectures that containerd takes; some include the variant. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
	x86_64: "amd64",
	"x86-64": "amd64",
	i386: "386",
	aarch64: "arm64",
	armhf: "arm/v7",
	armel: "arm/v6",
};

export type WantedPlatform = Pick<Platform, "os" | "architecture" | "variant">;

/** What is wanted where nobody says: images are for linux here. */
export function hostPlatform(): WantedPlatform {
	return normalized({ os: "linux", architecture: hostArchitecture() });
}

/** `linux/arm/v7`, `linux/amd64`, `arm64` (linux is meant). @throws {LamellaError} `EINVALID` */
export function parsePlatform(text: string): WantedPlatform {
	const words = text.toLowerCase().split("/");
	const isArchitecture = words.length === 1 && words[0] !== "linux";
	const [os = "", architecture = hostArchitecture(), variant] = isArchitecture ? ["linux", ...words] : words;
	if (words.length > 3 || words.some((word) => !/^[a-z0-9_.-]+$/.test(word))) {
		throw new LamellaError(
			"EINVALID",
			`${JSON.stringify(text)} is not a platform; platforms look like linux/amd64 or linux/arm/v7`,
		);
	}
	return normalized({ os, architecture, variant });
}

/** One spelling for what means the same. */
function normalized({ os, architecture, variant }: WantedPlatform): WantedPlatform {
	const [name = "", ownVariant] = (OTHER_NAMES[architecture] ?? architecture).split("/");
	const number = (variant ?? ownVariant ?? "").replace(/^(\d)/, "v$1");
	const plain = (name === "amd64" && number === "v1") || (name === "arm64" && number === "v8");
	const full = number === "" && name === "arm" ? "v7" : number;
	return { os, architecture: name, ...(full === "" || plain ? {} : { variant: full }) };
}

/** `linux/arm/v7`. */
export function platformText({ os, architecture, variant }: WantedPlatform): string {
	return [os, architecture, ...(variant === undefined ? [] : [variant])].join("/");
}

/** What runs on a platform, best first. */
function runnable(wanted: WantedPlatform): readonly WantedPlatform[] {
	const { os, architecture, variant } = wanted;
	const number = Number(/^v(\d+)/.exec(variant ?? "")?.[1] ?? "0");
	const older = (of: string, from: number, to: number): WantedPlatform[] =>
		Array.from({ length: Math.max(0, from - to + 1) }, (_, i) =>
			normalized({ os, architecture: of, variant: `v${from - i}` }),
		);
	switch (architecture) {
		case "amd64":
			return [wanted, ...older("amd64", number - 1, 1), { os, architecture: "386" }];
		case "arm":
			return [wanted, ...older("arm", number - 1, 5)];
		case "arm64":
			return [wanted, ...older("arm64", number - 1, 8), ...older("arm", 8, 5)];
		default:
			return [wanted];
	}
}

/** Build attestations and the like stand in indexes beside images, as platform unknown/unknown. */
export function isImageCandidate(descriptor: Descriptor): boolean {
	return (
		descriptor.platform?.os !== "unknown" &&
		descriptor.platform?.architecture !== "unknown" &&
		descriptor.annotations?.["vnd.docker.reference.type"] === undefined &&
		descriptor.artifactType === undefined
	);
}

/**
 * Those for a platform, all that are the best of what runs there. Empty where none is. A lone descriptor that says no platform is
 * taken as it is. Where nobody names a platform, an image for a newer processor of this machine's kind is better than none.
 */
export function fittingPlatform(
	descriptors: readonly Descriptor[],
	wanted?: WantedPlatform,
): readonly Descriptor[] {
	const candidates = descriptors.filter(isImageCandidate);
	if (candidates.length === 1 && candidates[0]?.platform == null) return candidates;
	const byPlatform = Map.groupBy(candidates, ({ platform }) =>
		platform == null ? undefined : platformText(normalized(platform)),
	);
	const host = hostPlatform();
	for (const platform of runnable(wanted ?? host)) {
		const found = byPlatform.get(platformText(platform));
		if (found !== undefined) return found;
	}
	if (wanted !== undefined) return [];
	const newer = candidates.filter(
		({ platform }) => platform?.os === host.os && normalized(platform).architecture === host.architecture,
	);
	const lowest = newer.map(({ platform }) => platform?.variant ?? "").toSorted()[0];
	return newer.filter(({ platform }) => (platform?.variant ?? "") === lowest);
}

/** For people: the digests that an index offers, with their platforms. */
export function offeredPlatforms(descriptors: readonly Descriptor[]): string {
	const offered = descriptors.filter(isImageCandidate);
	const platform = ({ platform: own }: Descriptor): string => (own == null ? "unknown" : platformText(own));
	return offered.map((one) => `${one.digest} (${platform(one)})`).join(", ") || "nothing";
}
