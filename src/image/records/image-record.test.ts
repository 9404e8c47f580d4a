import { expect, it } from "vitest";
import { keyOf, readRecord } from "./image-record.ts";

const digest = (digit: string): `sha256:${string}` => `sha256:${digit.repeat(64)}`;
const record = {
	id: digest("a"),
	names: ["a:1"],
	importedAtMs: 1,
	os: "linux",
	architecture: "amd64",
	manifestDigest: digest("b"),
	layers: [{ diffId: digest("c"), chainId: digest("d"), layer: digest("d"), tarSizeBytes: 5 }],
};
const key = keyOf(digest("a") as Parameters<typeof keyOf>[0]);
const [layer] = record.layers;

it("a record as it was written is an image, with the sum of its layers", () => {
	expect(readRecord(key, JSON.parse(JSON.stringify(record)))).toEqual({ ...record, sizeBytes: 5 });
});

it.each([
	null,
	"text",
	{ ...record, id: digest("b") },
	{ ...record, id: "../../etc" },
	{ ...record, names: "a:1" },
	{ ...record, names: [1] },
	{ ...record, importedAtMs: "1" },
	{ ...record, createdAtMs: Number.POSITIVE_INFINITY },
	{ ...record, os: undefined },
	{ ...record, manifestDigest: "sha256:1" },
	{ ...record, layers: {} },
	{ ...record, layers: [null] },
	{ ...record, layers: [{ ...layer, layer: "" }] },
	{ ...record, layers: [{ ...layer, diffId: digest("C") }] },
	{ ...record, layers: [{ ...layer, tarSizeBytes: -1 }] },
])("a record that was changed to %j is refused, with the way to be rid of it", (stored) => {
	const way = new RegExp(`lamella rmi ${digest("a")}`);
	expect(() => readRecord(key, stored)).toThrowError(way);
	expect(() => readRecord(key, stored)).toThrowError(expect.objectContaining({ code: "ECORRUPT" }));
});
