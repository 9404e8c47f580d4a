/** What this program is and runs on. It is read without the rest of the program, because scripts ask for it often. */
import { readFileSync } from "node:fs";
import { release } from "node:os";

export interface VersionFacts {
	readonly version: string;
	readonly node: string;
	readonly kernel: string;
	readonly arch: string;
}

export function versionFacts(): VersionFacts {
	// dist/cli and src/cli are equally far below it.
	const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
	const { version } = JSON.parse(manifest) as { version: string };
	return { version, node: process.versions.node, kernel: release(), arch: process.arch };
}

export function versionLine({ version, node, kernel, arch }: VersionFacts): string {
	return `lamella ${version} (Node ${node}, Linux ${kernel}, ${arch})`;
}
