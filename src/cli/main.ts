#!/usr/bin/env node
/** The command `lamella`. Older versions of Node run this file, too, so it is plain and imports nothing before it has looked. */
const FLOOR = 24;

if (Number.parseInt(process.versions.node, 10) < FLOOR) {
	process.stderr.write(
		`lamella: this needs Node ${FLOOR} or later, and ${process.execPath} is Node ${process.versions.node}; nodejs.org has newer ones\n`,
	);
	process.exitCode = 1;
} else {
	const { runCommand } = await import("./run-command.ts");
	process.exitCode = await runCommand(process.argv.slice(2));
}
