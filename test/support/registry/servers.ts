/** Servers within the test's own process: opened on a free port, closed with all their connections. */
import type { Server as HttpServer } from "node:http";
import { createServer, type Server } from "node:net";

/** The port that it got. */
export async function listen(server: Server, host = "127.0.0.1"): Promise<number> {
	await new Promise<void>((resolve, reject) => {
		server.once("error", reject).listen(0, host, resolve);
	});
	const address = server.address();
	if (address === null || typeof address === "string") throw new Error("the server has no port");
	return address.port;
}

export async function closeServer(server: HttpServer): Promise<void> {
	const closed = new Promise((resolve) => server.close(resolve));
	server.closeAllConnections();
	await closed;
}

/** A port that nobody has now. */
export async function freePort(): Promise<number> {
	const server = createServer();
	const port = await listen(server);
	await new Promise((resolve) => server.close(resolve));
	return port;
}
