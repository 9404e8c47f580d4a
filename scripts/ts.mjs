// `node --import ./scripts/ts.mjs FILE.ts` runs a TypeScript file of bench/, scripts/ or test/ as it is.
// What it imports from src/ is taken from dist/, so that what is measured is what users get: build first.
import { registerHooks } from "node:module";

const root = new URL("../", import.meta.url).href;

registerHooks({
	resolve(specifier, context, next) {
		const resolved = next(specifier, context);
		if (!resolved.url.startsWith(`${root}src/`) || !resolved.url.endsWith(".ts")) return resolved;
		const url = resolved.url.replace(`${root}src/`, `${root}dist/`).replace(/\.ts$/, ".js");
		return { ...resolved, url, format: "module" };
	},
});
