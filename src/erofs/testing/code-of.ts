import { type ErrorCode, isLamellaError } from "../../errors/index.ts";

/** The code with which `action` is refused, or undefined. Any other error is thrown on. */
export function codeOf(action: () => void): ErrorCode | undefined {
	try {
		action();
	} catch (error) {
		if (isLamellaError(error)) return error.code;
		throw error;
	}
	return undefined;
}
