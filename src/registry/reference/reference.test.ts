import { describe, expect, it, test } from "vitest";
import {
	familiarRepository,
	formatReference,
	parseReference,
	parseRepository,
	splitReference,
} from "./index.ts";

const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;

describe("a reference", () => {
	test.each([
		["debian", "docker.io", "library/debian", "latest", undefined],
		["debian:12", "docker.io", "library/debian", "12", undefined],
		["group/app", "docker.io", "group/app", "latest", undefined],
		["docker.io/debian", "docker.io", "library/debian", "latest", undefined],
		["docker.io/library/debian:12", "docker.io", "library/debian", "12", undefined],
		["index.docker.io/library/debian", "docker.io", "library/debian", "latest", undefined],
		["localhost/app", "localhost", "app", "latest", undefined],
		["localhost:5000/a/b:tag", "localhost:5000", "a/b", "tag", undefined],
		["[::1]:5000/a", "[::1]:5000", "a", "latest", undefined],
		["ghcr.io/a/b", "ghcr.io", "a/b", "latest", undefined],
		["Registry/a", "Registry", "a", "latest", undefined],
		[`ghcr.io/a/b@${DIGEST}`, "ghcr.io", "a/b", undefined, DIGEST],
		[`debian:12@${DIGEST}`, "docker.io", "library/debian", "12", DIGEST],
		// A tag, for it has no slash behind it.
		["localhost:5000", "docker.io", "library/localhost", "5000", undefined],
	])("%s is in %s: %s, tag %s, digest %s", (text, registry, repository, tag, digest) => {
		expect(parseReference(text)).toEqual({ registry, repository, tag, digest });
	});

	test.each([
		[""],
		["Debian"],
		["debian:"],
		["debian@sha256:12"],
		["debian@md5:0123456789abcdef0123456789abcdef"],
		["-debian"],
		["a//b"],
		["http://ghcr.io/a"],
		["ghcr.io/A/b"],
		["debian:tag with space"],
		[`${"a".repeat(300)}`],
		["0123456789abcdef".repeat(4)],
	])("%j is none", (text) => {
		expect(splitReference(text)).toBeUndefined();
		expect(() => parseReference(text)).toThrow("not an image reference");
	});

	test.each([
		["docker.io/library/debian", "debian:latest"],
		["docker.io/group/app:1", "group/app:1"],
		["docker.io/localhost/app:1", "docker.io/localhost/app:1"],
		["localhost:5000/a/b:tag", "localhost:5000/a/b:tag"],
		[`debian:12@${DIGEST}`, `debian:12@${DIGEST}`],
		[`debian@${DIGEST}`, `debian@${DIGEST}`],
	])("%s is written as %s", (text, written) => {
		expect(formatReference(parseReference(text))).toBe(written);
		expect(parseReference(formatReference(parseReference(text)))).toEqual(parseReference(text));
	});

	it("of a repository has neither tag nor digest", () => {
		expect(parseRepository("debian")).toEqual({ registry: "docker.io", repository: "library/debian" });
		expect(familiarRepository(parseRepository("docker.io/library/debian"))).toBe("debian");
		expect(() => parseRepository("debian:12")).toThrow("leave all behind debian out");
	});
});
