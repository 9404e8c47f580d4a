export { escapePath } from "./escape.ts";
export {
	ERROR_CODES,
	type ErrorCode,
	isLamellaError,
	LamellaError,
	type LamellaErrorDetails,
} from "./lamella-error.ts";
export { nearest } from "./nearest.ts";
