/** Errors as gRPC sees them: containerd decides by the code alone what to do next, and shows the message. */
import { type StatusObject, status } from "@grpc/grpc-js";
import { type ErrorCode, LamellaError } from "../../../errors/index.ts";
import { withKeys } from "../keys.ts";

/** What is not here is a fault of ours or of the machine: INTERNAL. */
const CODES: Partial<Record<ErrorCode, status>> = {
	EABORTED: status.CANCELLED,
	EBUSY: status.FAILED_PRECONDITION,
	ECONFIG: status.INVALID_ARGUMENT,
	ECORRUPT: status.DATA_LOSS,
	EEXISTS: status.ALREADY_EXISTS,
	EINVALID: status.INVALID_ARGUMENT,
	EKIND: status.FAILED_PRECONDITION,
	ENOSPACE: status.RESOURCE_EXHAUSTED,
	ENOTFOUND: status.NOT_FOUND,
	ENOTSUPPORTED: status.UNIMPLEMENTED,
	EPERMISSION: status.PERMISSION_DENIED,
	EPROTOCOL: status.INVALID_ARGUMENT,
	EREFERENCED: status.FAILED_PRECONDITION,
};

/** The message is sent in a header, where a character may take nine bytes; clients take headers of 16 KiB. */
const MESSAGE_CHARACTERS_MAX = 1000;

/** The status that a failed call is answered with. */
export function statusOf(error: unknown): Pick<StatusObject, "code" | "details"> {
	const code = error instanceof LamellaError ? (CODES[error.code] ?? status.INTERNAL) : status.INTERNAL;
	const message = error instanceof Error ? error.message : String(error);
	// grpc-js throws at half a character, as a cut may leave one.
	return { code, details: withKeys(message).slice(0, MESSAGE_CHARACTERS_MAX).toWellFormed() };
}

/** Whether a call failed for a reason that its caller gave, and not for a fault here. */
export function isCallersFault(error: unknown): boolean {
	return error instanceof LamellaError && CODES[error.code] !== undefined && error.code !== "ECORRUPT";
}
