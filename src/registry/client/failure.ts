/**
 * What goes wrong between here and a registry, told apart, and put into words: which host, which repository, what was asked, what
 * came, what to do. Text that a registry sent is cut short and escaped; what was shown as credentials is in no message.
 */
import { type ErrorCode, escapePath, isLamellaError, LamellaError } from "../../errors/index.ts";

export interface RegistryErrorDetails {
	/** `host[:port]` of who answered, or did not. */
	readonly host: string;
	/** Absent where no answer came. */
	readonly status?: number | undefined;
	/** It may be otherwise when asked again. */
	readonly isPassing?: boolean | undefined;
	/** What the host says of when to ask again. */
	readonly retryAfterMs?: number | undefined;
	readonly cause?: unknown;
}

/** A failure at one host. Where another is there to ask, it is asked. */
export class RegistryError extends LamellaError {
	readonly host: string;
	readonly status: number | undefined;
	readonly isPassing: boolean;
	readonly retryAfterMs: number | undefined;

	constructor(code: ErrorCode, message: string, details: RegistryErrorDetails) {
		super(code, message, { cause: details.cause });
		this.host = details.host;
		this.status = details.status;
		this.isPassing = details.isPassing ?? false;
		this.retryAfterMs = details.retryAfterMs;
	}
}

/** What is asked for, in words that stand in messages. */
export interface Asked {
	/** `manifest 12`, `blob sha256:…`, `the tags`. */
	readonly what: string;
	/** As people write it: `debian`, `ghcr.io/a/b`. */
	readonly repository: string;
	/** The registry that `lamella login` takes. */
	readonly registry: string;
	/** It is given to the registry, not asked of it. */
	readonly isPush?: boolean | undefined;
	readonly signal?: AbortSignal | undefined;
}

const MAX_TEXT_LENGTH = 200;

/** Text of a registry, for people. */
export function quotedText(text: string): string {
	const cut = text.length > MAX_TEXT_LENGTH ? `${text.slice(0, MAX_TEXT_LENGTH)}…` : text;
	return escapePath(Buffer.from(cut));
}

/** What the body of an answer says of errors. Source: OCI distribution spec 1.1, "Error Codes". */
export interface ReportedError {
	readonly code: string;
	readonly message: string;
}

export function reportedErrors(body: Buffer): readonly ReportedError[] {
	try {
		const document: unknown = JSON.parse(body.toString("utf8"));
		const errors = fieldOf(document, "errors");
		if (!Array.isArray(errors)) return [];
		return errors.slice(0, 3).map((error: unknown) => ({
			code: textOf(fieldOf(error, "code")).toUpperCase(),
			message: textOf(fieldOf(error, "message")),
		}));
	} catch {
		// Proxies answer in HTML: then the status says all.
		return [];
	}
}

/** A field of a JSON value that may be anything. */
export function fieldOf(value: unknown, key: string): unknown {
	return typeof value === "object" && value !== null && Object.hasOwn(value, key)
		? (value as Record<string, unknown>)[key]
		: undefined;
}

function textOf(value: unknown): string {
	return typeof value === "string" ? value : "";
}

export interface FailedAnswer {
	readonly host: string;
	readonly status: number;
	readonly errors: readonly ReportedError[];
	readonly retryAfterMs: number | undefined;
	/** Whether credentials were shown. */
	readonly asSomebody: boolean;
}

/** The error for an answer that reports a failure. */
export function failedAnswer(answer: FailedAnswer, asked: Asked): RegistryError {
	const { what, repository, registry, isPush = false } = asked;
	const { host, status, errors, retryAfterMs, asSomebody } = answer;
	const codes = errors.map(({ code }) => code);
	const said = errors.map(({ code, message }) => [code, message].filter(Boolean).join(": ")).join("; ");
	const came = `${status}${said === "" ? "" : `, ${quotedText(said)}`}`;
	const details = { host, status, retryAfterMs };
	const of = `${what} of ${repository}`;
	if (isPush && status < 500 && status !== 408 && status !== 429) return refusedPush(answer, came, asked);
	if (status === 404) {
		return codes.includes("NAME_UNKNOWN")
			? new RegistryError(
					"ENOTFOUND",
					`${host} has no repository ${repository} (asked for ${what}; ${came}); check the name`,
					details,
				)
			: new RegistryError(
					"ENOTFOUND",
					`${host} has no ${of} (${came}); \`lamella tags ${repository}\` lists the tags that there are`,
					details,
				);
	}
	if (status === 401) {
		const way = asSomebody
			? `the credentials are wrong, or are not enough for it; \`lamella login ${registry}\` takes others`
			: `it is not there, or is not for everybody; \`lamella login ${registry}\` says who asks`;
		return new RegistryError("EUNAUTHORIZED", `${host} does not give ${of} (${came}): ${way}`, details);
	}
	if (status === 403) {
		const way = asSomebody
			? `whose credentials were shown may not have it; \`lamella login ${registry}\` takes others`
			: `\`lamella login ${registry}\` says who asks`;
		return new RegistryError("EDENIED", `${host} refuses ${of} (${came}): ${way}`, details);
	}
	if (status === 429) {
		const when =
			retryAfterMs === undefined ? "later" : `in ${Math.max(1, Math.ceil(retryAfterMs / 1000))} seconds`;
		const who = asSomebody ? "" : `, or log in (\`lamella login ${registry}\`): it may take more then`;
		return new RegistryError(
			"ERATELIMIT",
			`${host} takes no more requests for now (asked for ${of}; ${came}); try again ${when}${who}`,
			{
				...details,
				isPassing: true,
			},
		);
	}
	const isPassing = status >= 500 || status === 408 || status === 425;
	const way = isPassing
		? "the trouble is there; try again later"
		: "it is not what a registry answers to this";
	return new RegistryError("EREGISTRY", `${host} failed to give ${of} (${came}): ${way}`, {
		...details,
		isPassing,
	});
}

/** The error for what a registry does not take. */
function refusedPush(
	{ host, status, retryAfterMs, asSomebody }: FailedAnswer,
	came: string,
	{ what, repository, registry }: Asked,
): RegistryError {
	const details = { host, status, retryAfterMs };
	const refuses = `${host} does not take ${what} to ${repository} (${came})`;
	const login = `\`lamella login ${registry}\` ${asSomebody ? "takes others" : "says who asks"}`;
	if (status === 401)
		return new RegistryError(
			"EUNAUTHORIZED",
			`${refuses}: ${asSomebody ? "the credentials are wrong, or are not enough for it" : "it wants credentials"}; ${login}`,
			details,
		);
	if (status === 403)
		return new RegistryError(
			"EDENIED",
			`${refuses}: ${asSomebody ? "this account may not push there" : "not everybody may push there"}; ${login}`,
			details,
		);
	if (status === 404)
		return new RegistryError(
			"ENOTFOUND",
			`${refuses}: there is no such repository; make it there first, or check the name`,
			details,
		);
	if (status === 405)
		return new RegistryError("EREGISTRY", `${refuses}: it is for reading only, a mirror perhaps`, details);
	if (status === 413)
		return new RegistryError(
			"EREGISTRY",
			`${refuses}: it, or a proxy before it, takes no such large requests; raise its limit`,
			details,
		);
	return new RegistryError("EREGISTRY", `${refuses}: the registry says what is wrong`, details);
}

/** The host answered, but wrongly. Another host may have it right. */
export function wrongAnswer(
	host: string,
	{ what, repository }: Asked,
	why: string,
	code: ErrorCode = "EREGISTRY",
): RegistryError {
	return new RegistryError(
		code,
		`${host} gave a wrong answer for ${what} of ${repository}: ${why}; the registry, or a proxy before it, is at fault`,
		{ host },
	);
}

const CERTIFICATE =
	/CERT|SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY)|HOSTNAME_MISMATCH|ERR_TLS_CERT_ALTNAME_INVALID/;

/** Names that no host has and ports where nobody listens are often slips: asked again only where somebody answered before. */
const NOBODY_THERE = new Set(["ECONNREFUSED", "ENOTFOUND", "EHOSTUNREACH", "ENETUNREACH"]);

/** The error for a connection that could not be made, or that broke. What is Lamella's own stays as it is. */
export function brokenConnection(
	error: unknown,
	host: string,
	asked: Asked,
	options: { readonly wasReached: boolean; readonly doneBytes?: number | undefined },
): unknown {
	if (isLamellaError(error)) return error;
	if (asked.signal?.aborted === true) return cancelled(asked);
	const { code, message } = innermost(error);
	const of = `${asked.what} of ${asked.repository}`;
	const details = { host, cause: error };
	const told = quotedText(code === "" || message.includes(code) ? message : `${code}: ${message}`);
	if (CERTIFICATE.test(code)) {
		return new RegistryError(
			"ENETWORK",
			`${host} is not trusted (asked for ${of}; ${told}): its certificate is not from an authority that this machine trusts; ` +
				"give its CA in certs.d (see docs/registries.md)",
			details,
		);
	}
	if (NOBODY_THERE.has(code)) {
		return new RegistryError(
			"ENETWORK",
			`${host} cannot be reached (asked for ${of}; ${told}); check the name and the network`,
			{ ...details, isPassing: options.wasReached },
		);
	}
	if (code.startsWith("ERR_SSL_")) {
		return new RegistryError(
			"ENETWORK",
			`${host} does not speak TLS as it should (asked for ${of}; ${told}); where it speaks plain HTTP, say so in hosts.toml`,
			details,
		);
	}
	const far = options.doneBytes === undefined ? "" : ` after ${options.doneBytes} bytes`;
	return new RegistryError(
		"ENETWORK",
		`the connection to ${host} broke off${far} (asked for ${of}; ${told}); try again`,
		{
			...details,
			isPassing: true,
		},
	);
}

export function cancelled({ what, repository, signal }: Asked): LamellaError {
	return new LamellaError("EABORTED", `getting ${what} of ${repository} was cancelled`, {
		cause: signal?.reason,
	});
}

/** Of a failure to connect to any of a host's addresses, the first one. */
function innermost(error: unknown): { readonly code: string; readonly message: string } {
	if (error instanceof AggregateError && error.errors.length > 0) return innermost(error.errors[0]);
	if (!(error instanceof Error)) return { code: "", message: String(error) };
	const code = textOf(fieldOf(error, "code"));
	if (
		error.cause instanceof Error &&
		(code === "" || code === "UND_ERR_SOCKET" || code === "UND_ERR_ABORTED")
	)
		return innermost(error.cause);
	return { code, message: error.message };
}
