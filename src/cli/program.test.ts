import { expect, test, vi } from "vitest";
import { COMMANDS } from "./command-table.ts";
import { stdout } from "./output/output.ts";
import { findCommand, GLOBAL_OPTIONS, runCommandLine, syntaxOf } from "./program.ts";
import { keyOf } from "./syntax.ts";

/** What a command line prints. */
async function printed(...words: string[]): Promise<string> {
	let text = "";
	const write = vi.spyOn(stdout, "write").mockImplementation((part) => {
		text += String(part);
	});
	try {
		await runCommandLine(words, new AbortController().signal);
	} finally {
		write.mockRestore();
	}
	return text;
}

test("a command is known by its name and its aliases", () => {
	expect(findCommand("umount")?.name).toBe("unmount");
	expect(findCommand("nonsense")).toBeUndefined();
});

test("every command has a summary, and no option of it hides a global one", async () => {
	const globals = GLOBAL_OPTIONS.flatMap((each) => [keyOf(each), ...each.names]);
	for (const entry of COMMANDS) {
		const { options } = await syntaxOf(entry);
		const own = options.flatMap(({ names }) => names);
		expect(entry.summary).not.toBe("");
		expect(new Set(own).size).toBe(own.length);
		for (const taken of [...own, ...options.map(keyOf)]) expect(globals).not.toContain(taken);
	}
});

test("a global option counts before the command and behind it", async () => {
	for (const words of [
		["version", "--json"],
		["--root", "layers", "--json", "version"],
		["--root=/x", "version", "-q", "--json"],
	]) {
		expect(JSON.parse(await printed(...words))).toMatchObject({ node: process.versions.node });
	}
	expect(await printed("version", "-q")).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test("help is the same by help and by --help, wherever that stands", async () => {
	const help = await printed("help", "diff");
	expect(help).toContain("Usage: lamella diff [options] <layer>");
	for (const words of [
		["diff", "--help"],
		["--help", "diff"],
		["diff", "-h", "x", "y"],
	]) {
		expect(await printed(...words)).toBe(help);
	}
	expect(await printed("help")).toBe(await printed("--help"));
});

test.each([
	[["creat"], /no command creat\. Did you mean create\? lamella help/],
	[["help", "creat"], /Did you mean create/],
	[["--jso"], /no option --jso\. Did you mean --json/],
	[["--json"], /no command is given; lamella help/],
	[["images", "--jso"], /Did you mean --json\? lamella images --help/],
	[["images", "x"], /"x" is one argument too many; lamella images --help shows/],
])("%j is no command line", async (words, message) => {
	await expect(printed(...words)).rejects.toMatchObject({
		code: "EINVALID",
		message: expect.stringMatching(message),
	});
});
