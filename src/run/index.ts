export { type RunInRootOptions, runInRoot } from "./run-in-root.ts";
