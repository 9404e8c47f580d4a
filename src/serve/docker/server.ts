/**
 * The HTTP side of the graph driver plugin protocol: POST only, a path for a call, always an answer.
 *
 * A failed call is answered by 200 and `{"Err": "…"}`, but for Diff by 500: dockerd would take a body with 200 for
 * the tar. A request that is not a call gets a 4xx with an Err. dockerd repeats calls whose connection was dropped, so
 * none is ever dropped for its age, and the server outlives every request.
 */
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import type net from "node:net";
import { isLamellaError, LamellaError } from "../../errors/index.ts";
import type { Logger } from "../log.ts";
import type { DockerPlugin } from "./plugin.ts";
import { parseBody, readBody } from "./request.ts";
import { ROUTES } from "./routes.ts";
import { serveApplyDiff, serveDiff } from "./streams.ts";

const CONTENT_TYPE = "application/vnd.docker.plugins.v1.2+json";
const DIFF = "/GraphDriver.Diff";
const APPLY_DIFF = "/GraphDriver.ApplyDiff";

export function createDockerServer(plugin: DockerPlugin, log: Logger): http.Server {
	const server = http.createServer({ keepAlive: true }, (request, response) => {
		handle(plugin, log, request, response).catch((error: unknown) => {
			log.error({ err: error, url: request.url }, "a request could not be answered");
			response.destroy();
		});
	});
	// An applyDiff may take an hour, and dockerd may be silent for a day.
	server.requestTimeout = 0;
	server.headersTimeout = 0;
	server.timeout = 0;
	server.keepAliveTimeout = 0;
	server.on("clientError", answerGarbage);
	return server;
}

async function handle(
	plugin: DockerPlugin,
	log: Logger,
	request: IncomingMessage,
	response: ServerResponse,
): Promise<void> {
	const startMs = performance.now();
	const url = request.url ?? "/";
	const question = url.indexOf("?");
	const call = question < 0 ? url : url.slice(0, question);
	let error: unknown;
	try {
		if (request.method !== "POST")
			throw new RequestError(405, `${request.method} is not answered here; use POST`);
		if (call === APPLY_DIFF) {
			const query = new URLSearchParams(question < 0 ? "" : url.slice(question + 1));
			answer(response, 200, await serveApplyDiff(plugin, query, request));
		} else if (call === DIFF) {
			await serveDiff(plugin, parseBody(await readBody(request)), response, log);
		} else {
			const route = ROUTES.get(call);
			if (route === undefined) throw new RequestError(404, `there is no call ${call}`);
			answer(response, 200, await route(plugin, parseBody(await readBody(request))));
		}
	} catch (caught) {
		error = caught;
		answerError(response, call, caught);
	}
	// A tar of which nobody needs the rest is read and dropped; the connection can then be used again.
	if (!request.readableEnded) request.resume();
	logCall(log, call, startMs, error);
}

/** A request that is not a call of the protocol. */
class RequestError extends LamellaError {
	readonly status: number;

	constructor(status: number, message: string) {
		super("EPROTOCOL", message);
		this.status = status;
	}
}

function answer(response: ServerResponse, status: number, body: object): void {
	const text = JSON.stringify(body);
	response.writeHead(status, { "Content-Type": CONTENT_TYPE, "Content-Length": Buffer.byteLength(text) });
	response.end(text);
}

function answerError(response: ServerResponse, call: string, error: unknown): void {
	if (response.headersSent) {
		response.destroy();
		return;
	}
	answer(response, statusOf(call, error), { Err: messageOf(error) });
}

function statusOf(call: string, error: unknown): number {
	if (error instanceof RequestError) return error.status;
	if (call === DIFF) return 500;
	return isLamellaError(error, "EPROTOCOL") ? 400 : 200;
}

/** Err is what dockerd tells its user; it must not be empty, for that means success. */
function messageOf(error: unknown): string {
	const message = error instanceof Error ? error.message : String(error);
	const code = isLamellaError(error) ? `${error.code}: ` : "";
	return `lamella: ${code}${message || "unknown error"}`;
}

function logCall(log: Logger, call: string, startMs: number, error: unknown): void {
	if (error === undefined) {
		if (log.isLevelEnabled("debug")) log.debug({ call, ms: elapsedMs(startMs) }, "answered");
		return;
	}
	// A typed error is the client's fault or the machine's; anything else is a fault of ours.
	const level = isLamellaError(error) ? "warn" : "error";
	log[level]({ call, ms: elapsedMs(startMs), err: error }, "failed");
}

function elapsedMs(startMs: number): number {
	return Math.round((performance.now() - startMs) * 1000) / 1000;
}

/** Bytes that are no HTTP: said so, and only that connection ends. */
function answerGarbage(error: NodeJS.ErrnoException, socket: net.Socket): void {
	if (error.code === "ECONNRESET" || !socket.writable) {
		socket.destroy();
		return;
	}
	const text = JSON.stringify({ Err: `lamella: EPROTOCOL: not an HTTP request: ${error.message}` });
	socket.end(
		`HTTP/1.1 400 Bad Request\r\nContent-Type: ${CONTENT_TYPE}\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`,
	);
}
