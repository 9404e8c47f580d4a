/** How a gRPC call ends. The numbers are gRPC's own ("Status codes and their use in gRPC"). */

export const GrpcStatus = {
	OK: 0,
	CANCELLED: 1,
	UNKNOWN: 2,
	INVALID_ARGUMENT: 3,
	DEADLINE_EXCEEDED: 4,
	NOT_FOUND: 5,
	ALREADY_EXISTS: 6,
	PERMISSION_DENIED: 7,
	RESOURCE_EXHAUSTED: 8,
	FAILED_PRECONDITION: 9,
	ABORTED: 10,
	OUT_OF_RANGE: 11,
	UNIMPLEMENTED: 12,
	INTERNAL: 13,
	UNAVAILABLE: 14,
	DATA_LOSS: 15,
	UNAUTHENTICATED: 16,
} as const;

export type GrpcStatus = (typeof GrpcStatus)[keyof typeof GrpcStatus];

/** A status with what is said about it. */
export interface GrpcOutcome {
	readonly code: GrpcStatus;
	readonly message: string;
}

/** What a call is refused for by the transport itself, before any method sees it. */
export class GrpcRefusal extends Error implements GrpcOutcome {
	readonly code: GrpcStatus;

	constructor(code: GrpcStatus, message: string) {
		super(message);
		this.code = code;
	}
}
