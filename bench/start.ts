/**
 * What a command costs before it does anything: `lamella version` and `lamella images` (a store with one layer and no image)
 * against an empty Node process, taking turns.
 *
 *   node --import ./scripts/ts.mjs bench/start.ts [--rounds N]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { run } from "../test/support/processes.ts";
import { alternate, report } from "./alternate.ts";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "15" } } });
const cli = path.resolve(import.meta.dirname, "../dist/bin/lamella.js");
const root = mkdtempSync(path.join(tmpdir(), "lamella-bench-"));
const node = (...args: string[]) => ({
	name: `node ${args.map((arg) => path.basename(arg)).join(" ")}`,
	args,
});

try {
	run(process.execPath, [cli, "--root", root, "create", "layer"]);
	const contestants = [node("-e", "0"), node(cli, "version"), node(cli, "--root", root, "images")].map(
		({ name, args }) => ({
			name,
			measure: () => {
				run(process.execPath, args);
			},
		}),
	);
	console.log(report("start of a command", await alternate(contestants, Number(values.rounds))));
} finally {
	rmSync(root, { recursive: true, force: true });
}
