import { expect, test } from "vitest";
import { COMMANDS } from "./command-table.ts";
import { calledCommand, wholeProgram } from "./program.ts";

test("the called command is found behind global options, by alias, and behind help", () => {
	expect(calledCommand(["images"])?.name).toBe("images");
	expect(calledCommand(["--root", "layers", "--json", "images"])?.name).toBe("images");
	expect(calledCommand(["--root=/x", "-q", "umount", "web1"])?.name).toBe("unmount");
	expect(calledCommand(["help", "diff"])?.name).toBe("diff");
	expect(calledCommand(["nonsense"])).toBeUndefined();
	expect(calledCommand([])).toBeUndefined();
});

test("every command can be loaded, has a summary, and takes the global options", async () => {
	const program = await wholeProgram();
	const names = program.commands.map((command) => command.name());
	expect(names).toEqual(COMMANDS.map(({ name }) => name));
	for (const command of program.commands) {
		expect(command.summary()).not.toBe("");
		const flags = command.options.map((option) => option.long);
		expect(new Set(flags).size).toBe(flags.length);
		expect(flags).toContain("--root");
	}
});
