/** The public library: `import { openStore } from "lamella"`. */
export * from "./api/index.ts";
export { ERROR_CODES, type ErrorCode, isLamellaError, LamellaError } from "./errors/index.ts";
