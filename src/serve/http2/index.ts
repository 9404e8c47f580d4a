/** HTTP/2, the server's side, for requests that are taken whole (RFC 9113, RFC 7541). */
export { ServerConnection } from "./connection.ts";
export { encodeHeaders } from "./hpack.ts";
export type { ServerStream } from "./stream.ts";
