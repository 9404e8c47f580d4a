// Checks the import directions, and that the checker really saw the modules: a parser that finds none says all is well.

import { createRequire } from "node:module";
import { cruise } from "dependency-cruiser";
import extractTSConfig from "dependency-cruiser/config-utl/extract-ts-config";

const config = createRequire(import.meta.url)("../.dependency-cruiser.cjs");
const { output } = await cruise(
	["src"],
	{ ruleSet: { forbidden: config.forbidden }, validate: true, ...config.options },
	{},
	{ tsConfig: extractTSConfig("tsconfig.json") },
);
const edges = output.modules.reduce((n, m) => n + m.dependencies.length, 0);
for (const v of output.summary.violations) console.error(`${v.rule.name}: ${v.from} -> ${v.to}`);
if (output.modules.length < 10 || edges < 10) {
	console.error(`import check saw only ${output.modules.length} modules and ${edges} imports`);
	process.exitCode = 1;
} else if (output.summary.error > 0) process.exitCode = 1;
else console.log(`imports: ${output.modules.length} modules, ${edges} imports, directions kept`);
