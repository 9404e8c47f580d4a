/** Requests as they come over the wire: read with a cap, parsed, and every field's type checked. */
import type { IncomingMessage } from "node:http";
import { LamellaError } from "../../errors/index.ts";
import type { IdMapRange } from "../../idmap/index.ts";

/** Far above what dockerd sends (ids, a label, a few options). */
const MAX_BODY_BYTES = 1 << 20;

export type RequestBody = Readonly<Record<string, unknown>>;

/** @throws {LamellaError} `EPROTOCOL` (too long, broken off) */
export function readBody(request: IncomingMessage): Promise<Buffer> {
	return new Promise((resolve, reject) => {
		const chunks: Buffer[] = [];
		let lengthBytes = 0;
		request.on("data", (chunk: Buffer) => {
			lengthBytes += chunk.length;
			// The rest is read and dropped, so that the answer reaches a client that is still sending.
			if (lengthBytes <= MAX_BODY_BYTES) chunks.push(chunk);
		});
		request.on("end", () => {
			if (lengthBytes > MAX_BODY_BYTES) {
				reject(new LamellaError("EPROTOCOL", `a request's body may have at most ${MAX_BODY_BYTES} bytes`));
			} else {
				resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks));
			}
		});
		request.on("error", (cause) => reject(new LamellaError("EPROTOCOL", "the request broke off", { cause })));
	});
}

/** An empty body is an empty object. @throws {LamellaError} `EPROTOCOL` */
export function parseBody(bytes: Buffer): RequestBody {
	if (bytes.length === 0) return {};
	let value: unknown;
	try {
		value = JSON.parse(bytes.toString("utf8"));
	} catch (cause) {
		throw new LamellaError("EPROTOCOL", `the request's body is not JSON: ${(cause as Error).message}`, {
			cause,
		});
	}
	// Go's encoder writes null for what has no fields to send.
	if (value === null) return {};
	if (typeof value !== "object" || Array.isArray(value)) throw wrong("the request's body", "an object");
	return value as RequestBody;
}

export function required(body: RequestBody, field: string): string {
	const value = optional(body, field);
	if (value === "") throw new LamellaError("EPROTOCOL", `the request has no ${field}`);
	return value;
}

/** `""` where the field is not there. */
export function optional(body: RequestBody, field: string): string {
	const value = body[field] ?? "";
	if (typeof value !== "string") throw wrong(field, "a string");
	return value;
}

export function strings(body: RequestBody, field: string): string[] {
	const value = body[field] ?? [];
	if (!Array.isArray(value) || !value.every((item) => typeof item === "string")) {
		throw wrong(field, "a list of strings");
	}
	return value as string[];
}

export function record(body: RequestBody, field: string): Record<string, string> {
	const value = body[field] ?? {};
	if (typeof value !== "object" || !Object.values(value).every((item) => typeof item === "string")) {
		throw wrong(field, "an object of strings");
	}
	return value as Record<string, string>;
}

/** idtools.IDMap: `container_id`, `host_id`, `size`. */
export function idMaps(body: RequestBody, field: string): IdMapRange[] {
	const value = body[field] ?? [];
	if (!Array.isArray(value)) throw wrong(field, "a list");
	return value.map((item: unknown) => {
		const map = (item ?? {}) as Record<string, unknown>;
		return {
			containerId: idNumber(field, map.container_id),
			hostId: idNumber(field, map.host_id),
			size: idNumber(field, map.size),
		};
	});
}

function idNumber(field: string, value: unknown): number {
	if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
		throw wrong(field, "a list of {container_id, host_id, size} with numbers");
	}
	return value;
}

function wrong(what: string, wanted: string): LamellaError {
	return new LamellaError("EPROTOCOL", `${what} must be ${wanted}`);
}
