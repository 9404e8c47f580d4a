import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { DiffId } from "../../layer/index.ts";
import { digestOf } from "../../layer/index.ts";
import { fittingPlatform, parsePlatform } from "../import/platform.ts";
import { emptyConfig, extendConfig, replaceDiffIds } from "./edit-config.ts";
import {
	createdAtMs,
	type Descriptor,
	parseConfig,
	parseDockerManifest,
	parseIndex,
	parseManifest,
	verifyDigest,
} from "./parse.ts";

const HEX = "0123456789abcdef".repeat(4);
const archive = expect.objectContaining({ code: "EARCHIVE" });

describe("documents", () => {
	it("refuses what is not JSON, not UTF-8 or not the document, naming the place", () => {
		expect(() => parseIndex(Buffer.from("{"), "index.json in x.tar")).toThrowError(
			/index\.json in x\.tar is not JSON/,
		);
		expect(() => parseIndex(Buffer.from([0x22, 0xff, 0x22]), "x")).toThrowError(archive);
		expect(() => parseManifest(Buffer.from("[]"), "x")).toThrowError(archive);
		expect(() =>
			parseManifest(
				Buffer.from(JSON.stringify({ schemaVersion: 2, config: { digest: "md5:1", size: 1 }, layers: [] })),
				"x",
			),
		).toThrowError(/config\.digest/);
		expect(() =>
			parseIndex(Buffer.from(JSON.stringify({ manifests: [{ digest: `sha256:${HEX}`, size: -1 }] })), "x"),
		).toThrowError(/size/);
		expect(() => parseDockerManifest(Buffer.from('[{"Config": 3}]'), "x")).toThrowError(archive);
	});

	it("refuses a byte order mark, as every engine that will read it later does", () => {
		const marked = Buffer.from('\ufeff{"rootfs":{"diff_ids":[]}}');
		expect(() => parseConfig(marked, "config x")).toThrowError(/config x is not JSON: .*byte order mark/);
	});

	it("takes what real tools leave out or set to null", () => {
		expect(
			parseDockerManifest(Buffer.from('[{"Config":"c","RepoTags":null,"Layers":null}]'), "x"),
		).toMatchObject([{ Layers: [] }]);
		expect(
			parseConfig(Buffer.from('{"rootfs":{"diff_ids":null},"history":null}'), "x").rootfs.diff_ids,
		).toEqual([]);
	});

	it("never crashes on any JSON", () => {
		fc.assert(
			fc.property(fc.json(), (json) => {
				for (const parse of [parseIndex, parseManifest, parseConfig, parseDockerManifest]) {
					try {
						parse(Buffer.from(json), "x");
					} catch (error) {
						expect(error).toMatchObject({ code: "EARCHIVE" });
					}
				}
			}),
		);
	});

	it("compares digests and reads times", () => {
		verifyDigest(Buffer.from("a"), digestOf("a"), "blob", "x");
		expect(() => verifyDigest(Buffer.from("b"), digestOf("a"), "blob", "x")).toThrowError(
			expect.objectContaining({ code: "EDIGEST" }),
		);
		expect(createdAtMs("2024-01-02T03:04:05.678901234Z")).toBe(Date.UTC(2024, 0, 2, 3, 4, 5, 678));
		expect(createdAtMs("yesterday")).toBeUndefined();
		expect(createdAtMs(null)).toBeUndefined();
	});
});

describe("platforms", () => {
	const descriptor = (platform?: Descriptor["platform"], extra: Partial<Descriptor> = {}): Descriptor => ({
		mediaType: "m",
		digest: digestOf(JSON.stringify([platform, extra])),
		size: 1,
		platform,
		...extra,
	});

	it("takes linux on the architecture asked for, the plain variant on amd64, the highest on arm", () => {
		const amd64 = descriptor({ os: "linux", architecture: "amd64" });
		const amd64v3 = descriptor({ os: "linux", architecture: "amd64", variant: "v3" });
		const windows = descriptor({ os: "windows", architecture: "amd64" });
		const v6 = descriptor({ os: "linux", architecture: "arm", variant: "v6" });
		const v7 = descriptor({ os: "linux", architecture: "arm", variant: "v7" });
		const all = [windows, amd64v3, v6, amd64, v7];
		expect(fittingPlatform(all, parsePlatform("amd64"))).toEqual([amd64]);
		expect(fittingPlatform(all, parsePlatform("arm"))).toEqual([v7]);
		expect(fittingPlatform(all, parsePlatform("s390x"))).toEqual([]);
	});

	it("passes attestations by, and takes a lone image that names no platform", () => {
		const attestation = descriptor({ os: "unknown", architecture: "unknown" });
		const plain = descriptor();
		expect(fittingPlatform([attestation, plain], parsePlatform("amd64"))).toEqual([plain]);
		expect(fittingPlatform([plain, descriptor(undefined, { size: 2 })], parsePlatform("amd64"))).toEqual([]);
	});
});

describe("configs that are made here", () => {
	const diffId = digestOf<DiffId>("layer");

	it("puts layers and history on top and keeps unknown members", () => {
		const base = Buffer.from(
			JSON.stringify({
				"x-own": 1,
				architecture: "amd64",
				os: "linux",
				rootfs: { type: "layers", diff_ids: [diffId] },
			}),
		);
		const made = extendConfig(
			base,
			[{ diffId, createdAtMs: 0, author: "me", comment: "why", createdBy: "commit" }],
			["ENV A=1"],
		);
		expect(JSON.parse(made.toString())).toEqual({
			"x-own": 1,
			architecture: "amd64",
			os: "linux",
			created: "1970-01-01T00:00:00.000Z",
			author: "me",
			config: { Env: ["A=1"] },
			rootfs: { type: "layers", diff_ids: [diffId, diffId] },
			history: [
				{},
				{ created: "1970-01-01T00:00:00.000Z", created_by: "commit", author: "me", comment: "why" },
			],
		});
	});

	it("are configs", () => {
		expect(parseConfig(emptyConfig(), "x").os).toBe("linux");
		expect(parseConfig(replaceDiffIds(emptyConfig(), [diffId]), "x").rootfs.diff_ids).toEqual([diffId]);
	});
});
