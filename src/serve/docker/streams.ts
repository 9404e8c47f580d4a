/** The two calls that carry tars: Diff answers with one, ApplyDiff takes one. */
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { PassThrough, type Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Logger } from "../log.ts";
import type { DockerPlugin } from "./plugin.ts";
import { optional, type RequestBody, required } from "./request.ts";

/**
 * Answers with the layer tar. Nothing is sent before the first bytes are there, so that a failure at the start
 * still becomes a status; a later failure breaks the connection off, so that a short tar does not look whole.
 */
export async function serveDiff(
	plugin: DockerPlugin,
	body: RequestBody,
	response: ServerResponse,
	log: Logger,
): Promise<void> {
	const tar = await plugin.driver.diff(required(body, "ID"), optional(body, "Parent"));
	// What reads it below rejects; a failure that comes between the two readings must not end the process.
	tar.on("error", () => {});
	await firstBytes(tar);
	response.writeHead(200, { "Content-Type": "application/x-tar" });
	try {
		await pipeline(tar, response);
	} catch (error) {
		log.warn({ err: error }, "a diff broke off");
		response.destroy();
	}
}

async function firstBytes(stream: Readable): Promise<void> {
	if (stream.errored) throw stream.errored;
	if (stream.readableLength > 0 || stream.readableEnded) return;
	// `once` rejects on "error".
	await once(stream, "readable");
}

/**
 * The ids are in the query, the body is the uncompressed tar. The driver gets another stream than the request: it
 * may destroy its stream early, and destroying a request ends the connection before the answer.
 */
export async function serveApplyDiff(
	plugin: DockerPlugin,
	query: URLSearchParams,
	request: IncomingMessage,
): Promise<object> {
	const ids = { id: query.get("id") ?? "", parent: query.get("parent") ?? "" };
	const id = required(ids, "id");
	const tar = new PassThrough();
	// The driver may be done with it, or never have looked at it; its own failure is what is answered.
	tar.on("error", () => undefined);
	// A body that breaks off must not pass for one that ended.
	request.once("error", (error) => tar.destroy(error));
	request.pipe(tar);
	try {
		return { Size: await plugin.driver.applyDiff(id, ids.parent, tar) };
	} finally {
		// Where the driver did not look at it, it is full, and would hold up the connection.
		request.unpipe(tar);
	}
}
