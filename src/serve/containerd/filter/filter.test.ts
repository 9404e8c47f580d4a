import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type FilterSubject, parseFilters } from "./index.ts";
import { unquote } from "./unquote.ts";

const subject: FilterSubject = {
	name: "default/12/extract-1 sha256:abc",
	parent: "",
	kind: "active",
	labels: { plain: "one", "containerd.io/gc.root": "2024-01-01T00:00:00Z", "a b": "c,d", dotted: "1.2.3" },
};
const matches = (...filters: string[]): boolean => parseFilters(filters)(subject);

describe("containerd's filter language", () => {
	it.each([
		["", true],
		['name=="default/12/extract-1 sha256:abc"', true],
		["name==default/12/extract-1", false],
		["name~=^default/12/", true],
		['name~="extract-[0-9]+ "', true],
		["name~=/extract-\\d/", undefined],
		["name~=/extract-\\\\d/", true],
		["name~=|default/12|", true],
		["name@=12/extract", true],
		["name@=13", false],
		["kind==active", true],
		["kind!=active", false],
		["kind == active", true],
		["parent", true],
		['parent==""', true],
		["labels.plain", true],
		["labels.missing", false],
		["labels.missing!=x", true],
		["labels.missing==x", false],
		['labels."missing"==""', false],
		["labels.plain==one,kind==active", true],
		["labels.plain==one,kind==view", false],
		["labels.containerd.io/gc.root", undefined],
		['labels."containerd.io/gc.root"', true],
		['labels."containerd.io/gc.root"~="^2024-"', true],
		['labels."a b"=="c,d"', true],
		['labels."a b"=="c\\x2cd"', true],
		["labels.dotted==1.2.3", true],
		["nothing==x", false],
		["nothing!=x", true],
		["name==a==b", false],
		["name~=(", false],
		["name~=(?i)EXTRACT", true],
		["name~=[[:alpha:]]+/[[:digit:]]+", true],
		["name~=^\\pL+/", true],
		["name~=(?=default)", false],
		["name~=(?P<first>default)", true],
		["labels", false],
		["name=x", undefined],
		["name==", undefined],
		["==x", undefined],
		["name==x,", undefined],
		["name==x ,kind==view", undefined],
		['name=="open', undefined],
		["name==/slashes/", undefined],
		["name===x", undefined],
		["name==x y", undefined],
		["a..b", undefined],
		["näme==x", undefined],
	] as const)("%s", (filter, expected) => {
		if (expected === undefined) {
			expect(() => matches(filter)).toThrow(expect.objectContaining({ code: "EINVALID" }));
		} else {
			expect(matches(filter)).toBe(expected);
		}
	});

	it("takes several filters as alternatives, and none as all", () => {
		expect(matches("kind==view", "kind==active")).toBe(true);
		expect(matches("kind==view", "kind==committed")).toBe(false);
		expect(matches()).toBe(true);
		expect(() => matches("kind==active", "name=")).toThrow(/EINVALID|filter/);
	});

	it("finds any name by a quoted one", () => {
		fc.assert(
			fc.property(fc.string({ unit: "binary" }), (name) => {
				const filter = `name==${JSON.stringify(name).replaceAll("\\/", "/")}`;
				return parseFilters([filter])({ ...subject, name });
			}),
		);
	});

	it("throws nothing but EINVALID at whatever comes", () => {
		const token = fc.constantFrom(
			"name",
			"labels",
			".",
			",",
			"==",
			"!=",
			"~=",
			"@=",
			'"',
			"/",
			"|",
			"\\",
			" ",
			"x",
			"(",
		);
		fc.assert(
			fc.property(
				fc.oneof(
					fc.string(),
					fc.array(token).map((parts) => parts.join("")),
				),
				(filter) => {
					try {
						parseFilters([filter])(subject);
					} catch (error) {
						expect(error).toMatchObject({ code: "EINVALID" });
					}
				},
			),
		);
	});

	it("does not backtrack", () => {
		const name = `${"a".repeat(4096)}!`;
		const startMs = performance.now();
		expect(parseFilters(["name~=(a+)+$"])({ ...subject, name })).toBe(false);
		expect(performance.now() - startMs).toBeLessThan(5000);
	});

	it("refuses expressions that would take long on every name", () => {
		for (const large of ["(a?){1000}".repeat(10), "a".repeat(5000)]) {
			expect(() => matches(`name~=${large}`)).toThrow(/too large/);
		}
	});

	it("unquotes as Go does", () => {
		expect(unquote('"a\\tb\\u00e4\\xc3\\xa4\\101\\\\\\""')).toBe('a\tbääA\\"');
		expect(unquote("/a\\/b/")).toBe("a/b");
		for (const wrong of ['"', '"a', '"\\q"', '"\\u12"', '"\\U00110000"', '"\\777"', '"\\/"', '"a"b"']) {
			expect(unquote(wrong)).toBeUndefined();
		}
	});
});
