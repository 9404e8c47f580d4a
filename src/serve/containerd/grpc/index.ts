/** gRPC services on a unix socket. */
export { GrpcServer } from "./server.ts";
export type { GrpcCall, ServiceMethods } from "./service.ts";
