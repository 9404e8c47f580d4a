// `node --import ./scripts/ts.mjs FILE.ts` runs a TypeScript file of bench/, scripts/ or test/ as it is.
// What it imports from src/ is taken from dist/, so that what is measured is what users get: build first.
import { register } from "node:module";

register("./ts-hooks.mjs", import.meta.url);
