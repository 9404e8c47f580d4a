export { escapePath } from "./escape.ts";
export { type ErrorCode, ERROR_CODES, isLamellaError, LamellaError, type LamellaErrorDetails } from "./lamella-error.ts";
