/** What a registry, or whoever stands before it, does wrong: faults for the misbehaving proxy, and which requests they are for. */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";
import type { Change, Fault } from "./misbehaving-proxy.ts";

type When = (request: IncomingMessage) => boolean;

/** Requests like `GET /v2/…/blobs/…`. */
export function requests(pattern: RegExp): When {
	return ({ method, url }) => pattern.test(`${method} ${url}`);
}

export const blobs: When = requests(/^GET \/v2\/.*\/blobs\//);
export const manifests: When = requests(/^(GET|HEAD) \/v2\/.*\/manifests\//);

/** Sends that many bytes of the body and breaks the connection. */
export function cutAfter(bytes: number): Fault {
	return changed({
		async *body(body, response) {
			yield* firstBytes(body, bytes);
			await flushed(response);
			response.destroy();
		},
	});
}

/** Breaks the connection without an answer. */
export const hangUp: Fault = ({ response }) => {
	response.destroy();
};

/** Sends that many bytes of the body, and then nothing until the client leaves. */
export function stallAfter(bytes: number): Fault {
	return changed({
		async *body(body, response) {
			yield* firstBytes(body, bytes);
			await flushed(response);
			await closed(response);
		},
	});
}

/** Takes the request and says nothing. */
export const silence: Fault = ({ response }) => closed(response);

/** Says something of its own. */
export function answer(status: number, headers: IncomingHttpHeaders = {}, body: string | Buffer = ""): Fault {
	return ({ request, response }) => {
		request.resume();
		response.writeHead(status, { "content-length": Buffer.byteLength(body), ...headers });
		response.end(request.method === "HEAD" ? "" : body);
	};
}

/** An error as registries tell them. */
export function registryError(status: number, code: string, message: string): Fault {
	const body = JSON.stringify({ errors: [{ code, message }] });
	return answer(status, { "content-type": "application/json" }, body);
}

/** The page of a portal or a proxy in place of what was asked. */
export const html: Fault = answer(
	200,
	{ "content-type": "text/html" },
	"<!doctype html><html><title>Welcome to the hotel</title></html>\n",
);

/** One byte of the body is another. */
export function wrongByteAt(offset: number): Fault {
	return changed({
		async *body(body) {
			let at = 0;
			for await (const piece of body) {
				const copy = Buffer.from(piece);
				const index = offset - at;
				if (index >= 0 && index < copy.length) copy.writeUInt8(copy.readUInt8(index) ^ 0x40, index);
				at += copy.length;
				yield copy;
			}
		},
	});
}

/** The body goes on where it should end, and the length says so. */
export function tooLongBy(bytes: number): Fault {
	return changed({
		head: ({ status, headers }) => ({ status, headers: lengthened(headers, bytes) }),
		async *body(body) {
			yield* body;
			yield Buffer.alloc(bytes, "x");
		},
	});
}

/** The body is whole by its length, and yet not all that it should be. */
export function tooShortBy(bytes: number): Fault {
	return changed({
		head: ({ status, headers }) => ({ status, headers: lengthened(headers, -bytes) }),
		async *body(body) {
			const all: Buffer[] = [];
			for await (const piece of body) all.push(piece);
			yield Buffer.concat(all).subarray(0, -bytes);
		},
	});
}

/** Says nothing of the length: the answer comes in chunks. */
export const chunked: Fault = changed({
	head: ({ status, headers: { "content-length": _, ...headers } }) => ({ status, headers }),
});

export function header(name: string, value: string | undefined): Fault {
	return changed({
		head({ status, headers: { [name]: _, ...headers } }) {
			return { status, headers: { ...headers, ...(value !== undefined && { [name]: value }) } };
		},
	});
}

/** The body as `Content-Encoding: gzip`, whether the client wanted that or not. */
export const gzipped: Fault = changed({
	head({ status, headers: { "content-length": _, ...headers } }) {
		return { status, headers: { ...headers, "content-encoding": "gzip" } };
	},
	async *body(body) {
		const all: Buffer[] = [];
		for await (const piece of body) all.push(piece);
		yield gzipSync(Buffer.concat(all));
	},
});

/** Leads to the same path, marked, at `origin`, or below the same host. */
export function redirect(origin = "", status = 307): Fault {
	return ({ request, response }) => {
		const mark = request.url?.includes("?") ? "&" : "?";
		response.writeHead(status, { location: `${origin}${request.url}${mark}redirected=yes` });
		response.end();
	};
}

/** Gives the whole blob whatever part of it was asked for. */
export const ignoreRange: Fault = changed({ request: withoutRange });

/** Says that it has no such part. */
export const refuseRange: Fault = async (exchange) => {
	if (exchange.request.headers.range === undefined) await exchange.pass();
	else await answer(416)(exchange);
};

/** Claims to give the part that was asked for, and begins at the beginning. */
export const lieOfRange: Fault = async (exchange) => {
	const [, from] = /^bytes=(\d+)-/.exec(exchange.request.headers.range ?? "") ?? [];
	if (from === undefined) return await exchange.pass();
	await exchange.pass({
		request: withoutRange,
		head({ headers }) {
			const whole = Number(headers["content-length"]);
			return { status: 206, headers: { ...headers, "content-range": `bytes 0-${whole - 1}/${whole}` } };
		},
	});
};

/** The first request gets the first fault, the next one the second; the last one stays. */
export function inTurn(...faults: readonly Fault[]): Fault {
	let turn = 0;
	return (exchange) => {
		const fault = faults[Math.min(turn, faults.length - 1)];
		turn += 1;
		return fault === undefined ? exchange.pass() : fault(exchange);
	};
}

function changed(change: Change): Fault {
	return ({ pass }) => pass(change);
}

function withoutRange({ range: _, ...headers }: IncomingHttpHeaders): IncomingHttpHeaders {
	return headers;
}

function lengthened(headers: IncomingHttpHeaders, bytes: number): IncomingHttpHeaders {
	const length = headers["content-length"];
	return length === undefined ? headers : { ...headers, "content-length": String(Number(length) + bytes) };
}

async function* firstBytes(body: AsyncIterable<Buffer>, bytes: number): AsyncGenerator<Buffer> {
	let left = bytes;
	if (left === 0) return;
	for await (const piece of body) {
		yield piece.subarray(0, left);
		left -= Math.min(left, piece.length);
		if (left === 0) return;
	}
}

/** Waits until all that was written is with the kernel: who hangs up at once takes it back. */
async function flushed(response: ServerResponse): Promise<void> {
	await new Promise<void>((resolve) => {
		response.once("close", resolve);
		response.write("", () => resolve());
	});
}

function closed(response: ServerResponse): Promise<void> {
	return new Promise((resolve) => {
		if (response.destroyed) resolve();
		else response.once("close", () => resolve());
	});
}
