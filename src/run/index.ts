export { CommandStartError } from "./contract.ts";
export { type RunInRootOptions, runInRoot } from "./run-in-root.ts";
