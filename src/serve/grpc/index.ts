/** gRPC on a unix socket. */
export { type GrpcCall, type GrpcMethod, GrpcServer, type GrpcServerOptions } from "./server.ts";
export { type GrpcOutcome, GrpcStatus } from "./status.ts";
