/** Errors as gRPC sees them: containerd decides by the code alone what to do next, and shows the message. */
import { type ErrorCode, LamellaError } from "../../errors/index.ts";
import { type GrpcOutcome, GrpcStatus } from "../grpc/index.ts";
import { withKeys } from "./keys.ts";

/** What is not here is a fault of ours or of the machine: INTERNAL. */
const CODES: Partial<Record<ErrorCode, GrpcStatus>> = {
	EABORTED: GrpcStatus.CANCELLED,
	EBUSY: GrpcStatus.FAILED_PRECONDITION,
	ECONFIG: GrpcStatus.INVALID_ARGUMENT,
	ECORRUPT: GrpcStatus.DATA_LOSS,
	EEXISTS: GrpcStatus.ALREADY_EXISTS,
	EINVALID: GrpcStatus.INVALID_ARGUMENT,
	EKIND: GrpcStatus.FAILED_PRECONDITION,
	ENOSPACE: GrpcStatus.RESOURCE_EXHAUSTED,
	ENOTFOUND: GrpcStatus.NOT_FOUND,
	ENOTSUPPORTED: GrpcStatus.UNIMPLEMENTED,
	EPERMISSION: GrpcStatus.PERMISSION_DENIED,
	EPROTOCOL: GrpcStatus.INVALID_ARGUMENT,
	EREFERENCED: GrpcStatus.FAILED_PRECONDITION,
};

/** gRPC sends the message in an HTTP/2 header; longer ones make the client drop the connection. */
const MESSAGE_CHARACTERS_MAX = 2000;

/** The status that a failed call is answered with. */
export function statusOf(error: unknown): GrpcOutcome {
	const code =
		error instanceof LamellaError ? (CODES[error.code] ?? GrpcStatus.INTERNAL) : GrpcStatus.INTERNAL;
	const message = error instanceof Error ? error.message : String(error);
	return { code, message: withKeys(message).slice(0, MESSAGE_CHARACTERS_MAX) };
}

/** Whether a call failed for a reason that its caller gave, and not for a fault here. */
export function isCallersFault(error: unknown): boolean {
	return error instanceof LamellaError && CODES[error.code] !== undefined && error.code !== "ECORRUPT";
}
