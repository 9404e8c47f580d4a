/**
 * What crosses between the pool and its threads, and how errors survive the crossing: structured clone keeps
 * neither an error's class nor its code, so errors travel as plain data and are made anew on the other side.
 */
import { ERROR_CODES, type ErrorCode, LamellaError } from "../errors/index.ts";
import { SystemError } from "../linux/index.ts";

/** Pool → thread: one job. */
export interface JobMessage {
	readonly job: number;
	readonly name: string;
	readonly request: unknown;
	/** One Int32; not 0 once the job is to stop. */
	readonly abortFlag: SharedArrayBuffer;
	readonly wantsProgress: boolean;
}

/** Thread → pool. */
export type ThreadMessage =
	| { readonly type: "progress"; readonly job: number; readonly doneBytes: number }
	| { readonly type: "done"; readonly job: number; readonly result: unknown }
	| { readonly type: "failed"; readonly job: number; readonly error: WireError };

export interface WireError {
	readonly class: "LamellaError" | "SystemError" | "Error";
	readonly message: string;
	readonly stack?: string | undefined;
	/** Own properties that are plain: code, layer, path, errno, syscall. */
	readonly properties: Readonly<Record<string, string | number>>;
	readonly cause?: WireError | undefined;
}

// A chain of causes that goes deeper is a loop or not worth telling.
const CAUSES_MAX = 8;

/** An error as plain data. Anything may have been thrown. */
export function toWire(error: unknown, depth = 0): WireError {
	if (!(error instanceof Error)) return { class: "Error", message: String(error), properties: {} };
	const properties: Record<string, string | number> = {};
	for (const name of ["code", "layer", "path", "errno", "syscall"]) {
		const value: unknown = Reflect.get(error, name);
		if (typeof value === "string" || typeof value === "number") properties[name] = value;
	}
	return {
		class:
			error instanceof LamellaError ? "LamellaError" : error instanceof SystemError ? "SystemError" : "Error",
		message: error.message,
		stack: error.stack,
		properties,
		cause: error.cause === undefined || depth >= CAUSES_MAX ? undefined : toWire(error.cause, depth + 1),
	};
}

/** The error that `toWire` took apart, of the same class, with code, layer, path and cause. */
export function fromWire(wire: WireError): Error {
	const cause = wire.cause === undefined ? undefined : fromWire(wire.cause);
	const { code, layer, path } = wire.properties;
	if (wire.class === "LamellaError" && isErrorCode(code)) {
		const error = new LamellaError(code, wire.message, { layer: text(layer), path: text(path), cause });
		return withStack(error, wire.stack);
	}
	const error =
		wire.class === "SystemError"
			? // Not by its constructor: the fields are all there is to it, and the message is made already.
				(Object.create(SystemError.prototype) as Error)
			: new Error(wire.message);
	define(error, "message", wire.message);
	if (cause !== undefined) define(error, "cause", cause);
	for (const [name, value] of Object.entries(wire.properties)) {
		Object.defineProperty(error, name, { value, enumerable: true, configurable: true, writable: true });
	}
	return withStack(error, wire.stack);
}

function isErrorCode(code: string | number | undefined): code is ErrorCode {
	return typeof code === "string" && Object.hasOwn(ERROR_CODES, code);
}

function text(value: string | number | undefined): string | undefined {
	return value === undefined ? undefined : String(value);
}

function withStack(error: Error, stack: string | undefined): Error {
	if (stack !== undefined) define(error, "stack", stack);
	return error;
}

function define(error: Error, name: string, value: unknown): void {
	Object.defineProperty(error, name, { value, configurable: true, writable: true });
}
