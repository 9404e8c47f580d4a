/** Which image of a multi-platform index is for this machine. */
import type { Descriptor } from "../documents/parse.ts";

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

/** `linux/arm/v7`, or `unknown` where the descriptor does not say. */
function platformText({ platform }: Descriptor): string {
	if (platform == null) return "unknown";
	const { os, architecture, variant } = platform;
	return [os, architecture, ...(variant === undefined ? [] : [variant])].join("/");
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
 * Those for linux on `architecture`, of several variants the plain or the highest-numbered one. Empty where none is.
 * A lone descriptor that says no platform is taken as it is.
 */
export function fittingPlatform(
	descriptors: readonly Descriptor[],
	architecture: string = hostArchitecture(),
): readonly Descriptor[] {
	const candidates = descriptors.filter(isImageCandidate);
	if (candidates.length === 1 && candidates[0]?.platform == null) return candidates;
	const fitting = candidates.filter(
		({ platform }) => platform?.os === "linux" && platform.architecture === architecture,
	);
	const best = Math.max(...fitting.map(variantRank));
	return fitting.filter((descriptor) => variantRank(descriptor) === best);
}

/** For people: the digests that an index offers, with their platforms. */
export function offeredPlatforms(descriptors: readonly Descriptor[]): string {
	const offered = descriptors.filter(isImageCandidate);
	return offered.map((one) => `${one.digest} (${platformText(one)})`).join(", ") || "nothing";
}

/** On amd64 v2 and higher need newer processors, so the plain one is best; on arm v7 and v8 are the usual ones. */
function variantRank({ platform }: Descriptor): number {
	const number = Number(/^v(\d+)$/.exec(platform?.variant ?? "")?.[1] ?? "0");
	return platform?.architecture === "amd64" ? -number : number;
}
