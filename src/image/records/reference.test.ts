import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
	nameFromAnnotation,
	parseImageName,
	parseImageReference,
	repositoryFromPath,
	splitName,
} from "./reference.ts";

const component = fc.stringMatching(/^[a-z0-9]+(?:[._-][a-z0-9]+){0,2}$/);
const tag = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/);

describe("image names", () => {
	it("fills in the tag latest and adds no host", () => {
		expect(parseImageName("debian")).toBe("debian:latest");
		expect(parseImageName("debian:demo")).toBe("debian:demo");
		expect(parseImageName("host:5000/a/b")).toBe("host:5000/a/b:latest");
		expect(parseImageName("Host.Example/a_b/c__d:V1.0")).toBe("Host.Example/a_b/c__d:V1.0");
	});

	it("takes docker's default host off, for it means the same", () => {
		expect(parseImageName("docker.io/library/debian:12")).toBe("debian:12");
		expect(parseImageName("docker.io/group/app")).toBe("group/app:latest");
		expect(parseImageName("docker.io/a.b/c")).toBe("docker.io/a.b/c:latest");
		expect(parseImageName("docker.io/x")).toBe("x:latest");
	});

	it.each([
		"",
		":",
		"a:",
		":tag",
		"UPPER",
		"a b",
		"a//b",
		"/a",
		"a/",
		"..",
		"../a",
		"a:b:c",
		"a@sha256:00",
		"-a",
		"a\u0000",
		"a\n",
		"ä",
		`a:${"t".repeat(129)}`,
		`${"a".repeat(256)}:t`,
		"0".repeat(64),
	])("refuses %j", (text) => {
		expect(() => parseImageName(text)).toThrowError(expect.objectContaining({ code: "EINVALID" }));
	});

	it("takes apart what it puts together", () => {
		fc.assert(
			fc.property(fc.array(component, { minLength: 1, maxLength: 4 }), tag, (components, tag) => {
				const repository = components.join("/");
				fc.pre(!/^[0-9a-f]{64}$/.test(repository));
				const name = parseImageName(`${repository}:${tag}`);
				expect(splitName(name)).toEqual({ repository, tag });
				expect(parseImageName(name)).toBe(name);
			}),
		);
	});
});

describe("references", () => {
	it("knows digests, with and without sha256:", () => {
		const hex = "0123456789abcdef".repeat(4);
		expect(parseImageReference(hex)).toEqual({ digest: `sha256:${hex}` });
		expect(parseImageReference(`sha256:${hex}`)).toEqual({ digest: `sha256:${hex}` });
	});

	it("takes what looks like a name and like an id for both", () => {
		expect(parseImageReference("beef")).toEqual({ name: "beef:latest", idPrefix: "beef" });
		expect(parseImageReference("sha256:be")).toMatchObject({ idPrefix: "be" });
		expect(parseImageReference("be")).toEqual({ name: "be:latest", idPrefix: undefined });
		expect(parseImageReference("debian:12")).toEqual({ name: "debian:12", idPrefix: undefined });
	});
});

describe("names with a digest", () => {
	const digest = `sha256:${"0123456789abcdef".repeat(4)}`;

	it("mean what they are pinned to", () => {
		expect(parseImageReference(`debian:12@${digest}`)).toEqual({ digest });
		expect(parseImageReference(`debian@${digest}`)).toEqual({ digest });
		expect(parseImageReference(`Not A Name@${digest}`)).toEqual({});
		expect(parseImageReference("debian@sha256:12")).toEqual({ name: undefined, idPrefix: undefined });
	});

	it("keep their tag in an archive, and are no name without one", () => {
		expect(nameFromAnnotation(`host:5000/a/b:1@${digest}`, undefined)).toBe("host:5000/a/b:1");
		expect(nameFromAnnotation(`host:5000/a/b@${digest}`, undefined)).toBeUndefined();
		expect(nameFromAnnotation(`a@${digest}`, "archive")).toBeUndefined();
	});
});

describe("names from archives", () => {
	it("gives a bare tag the archive's own name, and leaves a full name as it is", () => {
		expect(nameFromAnnotation("demo", "debian")).toBe("debian:demo");
		expect(nameFromAnnotation("debian:demo", "archive")).toBe("debian:demo");
		expect(nameFromAnnotation("demo", undefined)).toBe("demo:latest");
		expect(nameFromAnnotation("Not A Name", "x")).toBeUndefined();
	});

	it("makes a repository of a file's name", () => {
		expect(repositoryFromPath("/a/Debian 12.tar.gz")).toBe("debian-12");
		expect(repositoryFromPath("x/bundle/")).toBe("bundle");
		expect(repositoryFromPath("...")).toBeUndefined();
		fc.assert(
			fc.property(fc.string(), (text) => {
				const repository = repositoryFromPath(text);
				if (repository !== undefined) expect(splitName(`${repository}:t`)).toBeDefined();
			}),
		);
	});
});
