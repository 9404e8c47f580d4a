/**
 * The one error class of Lamella and the table of its stable codes.
 *
 * A system call's own failure is a `SystemError` (src/linux) and is kept as `cause`.
 */

/** Every code that a LamellaError can carry, with what it means. Codes never change their meaning. */
export const ERROR_CODES = {
	EABORTED: "the operation was cancelled by its AbortSignal",
	EARCHIVE: "an image archive is not one that can be read (not a tar, or parts are missing)",
	EBUSY: "the layer or mount is in use",
	ECOMPRESSION: "compressed data is damaged, or the compression is not known",
	ECONFIG: "an option or a configuration file is wrong",
	ECORRUPT: "the store's files on disk are damaged, or do not fit together",
	EDENIED: "a registry refuses something to whoever asks",
	EDIGEST: "content has another digest than it should",
	EEXISTS: "something of that name exists already",
	EINCOMPATIBLEFS: "the filesystem below the state root does not work with this driver",
	EINVALID: "an argument is wrong",
	EKIND: "the layer's kind does not allow this (committed, active or view)",
	ENATIVE: "the native part (system calls) cannot be loaded",
	ENETWORK: "a registry cannot be reached, or the connection broke off",
	ENOSPACE: "the disk is full",
	ENOTFOUND: "there is no such layer, image or path",
	ENOTSUPPORTED: "this kernel or this driver cannot do that",
	EPERMISSION: "the process lacks the rights for this (most of Lamella needs root)",
	EPLATFORM: "an image is not there for the platform that was asked for",
	EPROTOCOL: "a client sent a request that cannot be understood",
	ERATELIMIT: "a registry takes no more requests for now",
	EREFERENCED: "it has children or users, and they must go first",
	EREGISTRY: "a registry failed, or gave an answer that cannot be used",
	ESYSTEM: "a system call failed; the cause says which and why",
	ETAR: "a tar stream is malformed or truncated, or goes over a limit",
	EUNAUTHORIZED: "a registry wants credentials, or other ones than it was shown",
	EUNSAFE: "a layer entry points out of the layer, or is forbidden in layers",
	EXATTR: "the filesystem does not take such extended attributes",
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface LamellaErrorDetails {
	/** The layer (or image) that it is about. */
	readonly layer?: string | undefined;
	/** The path that it is about, already escaped for people. */
	readonly path?: string | undefined;
	readonly cause?: unknown;
}

/** An error with a stable `code`; its message names the thing and the way out. */
export class LamellaError extends Error {
	override readonly name: string = "LamellaError";
	readonly code: ErrorCode;
	readonly layer: string | undefined;
	readonly path: string | undefined;

	constructor(code: ErrorCode, message: string, details: LamellaErrorDetails = {}) {
		super(message, details.cause === undefined ? undefined : { cause: details.cause });
		this.code = code;
		this.layer = details.layer;
		this.path = details.path;
	}
}

/** Whether `error` is a LamellaError, with that code where one is given. */
export function isLamellaError(error: unknown, code?: ErrorCode): error is LamellaError {
	return error instanceof LamellaError && (code === undefined || error.code === code);
}
