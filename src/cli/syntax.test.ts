import { describe, expect, test } from "vitest";
import { CommandSyntax, placeArguments, readWords } from "./syntax.ts";

const { options } = new CommandSyntax()
	.option("-o, --output <file>", "")
	.option("-z, --null", "")
	.option("-f, --force", "")
	.option("--no-trunc", "")
	.option("--whole-seconds", "")
	.option("--format <format>", "", ["oci", "docker"])
	.option("-e, --env <name>", "", (word, before: string[] = []) => [...before, word]);

const read = (...words: string[]) => readWords(words, options, false);
const reason = (...words: string[]): string => {
	try {
		return JSON.stringify(read(...words));
	} catch (error) {
		return (error as Error).message;
	}
};

describe("options", () => {
	test("are read in every spelling", () => {
		for (const words of [["-o", "x"], ["-ox"], ["--output", "x"], ["--output=x"]]) {
			expect(read(...words)).toEqual({ options: { output: "x" }, operands: [] });
		}
		expect(read("-zfox").options).toEqual({ null: true, force: true, output: "x" });
		expect(read("--no-trunc", "--whole-seconds").options).toEqual({ trunc: false, wholeSeconds: true });
		expect(read("-e", "a=b", "--env=c").options).toEqual({ env: ["a=b", "c"] });
	});

	test("may stand behind arguments, and end at --", () => {
		expect(read("a", "-z", "-", "--", "-f")).toEqual({ options: { null: true }, operands: ["a", "-", "-f"] });
		expect(read("-o", "-z").options).toEqual({ output: "-z" });
		expect(read("--output=").options).toEqual({ output: "" });
	});

	test("belong to another program behind the first argument, where the command says so", () => {
		const words = ["-z", "web1", "--", "ls", "-f", "--output"];
		expect(readWords(words, options, true)).toEqual({ options: { null: true }, operands: words.slice(1) });
	});

	test("that are wrong are told with what is right", () => {
		expect(reason("--forse")).toBe("there is no option --forse. Did you mean --force?");
		expect(reason("-x")).toContain("there is no option -x");
		expect(reason("--output")).toBe("--output needs a value: -o, --output <file>");
		expect(reason("--force=yes")).toBe("--force takes no value");
		expect(reason("--format", "zip")).toBe('--format is one of oci, docker, not "zip"');
	});
});

test("arguments are taken by their places", () => {
	const one = new CommandSyntax().argument("<layer>", "").argument("[name]", "");
	expect(placeArguments(one, ["a"])).toEqual(["a", undefined]);
	expect(() => placeArguments(one, [])).toThrow("<layer> is missing");
	expect(() => placeArguments(one, ["a", "b", "c"])).toThrow('"c" is one argument too many');
	expect(placeArguments(new CommandSyntax().argument("<all...>", ""), ["a", "b"])).toEqual([["a", "b"]]);
	expect(() => placeArguments(new CommandSyntax().argument("<all...>", ""), [])).toThrow("<all> is missing");
	expect(placeArguments(new CommandSyntax().argument("[all...]", ""), [])).toEqual([[]]);
	expect(() => placeArguments(new CommandSyntax().argument("[x]", "", ["a"]), ["b"])).toThrow(
		"<x> is one of a",
	);
});
