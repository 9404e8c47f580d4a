import { expect, test } from "vitest";
import { changeJson } from "./json-shapes.ts";
import { addLabel } from "./shared-options.ts";

test("a path that is UTF-8 is given as text alone", () => {
	expect(changeJson({ kind: "A", path: Buffer.from("/é") })).toEqual({ kind: "A", path: "/é" });
});

test("a path that is not UTF-8 is given whole in base64", () => {
	const path = Buffer.from([0x2f, 0xe9]);
	const json = changeJson({ kind: "D", path });
	expect(Buffer.from(json.pathBase64 ?? "", "base64")).toEqual(path);
});

test("labels collect, values may hold equals signs, and a key is needed", () => {
	expect(addLabel("b=c=d", addLabel("a", undefined))).toEqual({ a: "", b: "c=d" });
	expect(() => addLabel("=x", undefined)).toThrow("KEY=VALUE");
});
