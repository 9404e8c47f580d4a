/** The daemons' log: one JSON object a line on standard error, with a level. */
import { type DestinationStream, type Logger, pino } from "pino";
import { LamellaError } from "../errors/index.ts";

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type { Logger };

/** @throws {LamellaError} `ECONFIG` */
export function parseLogLevel(text: string): LogLevel {
	const level = LOG_LEVELS.find((known) => known === text);
	if (level === undefined) {
		throw new LamellaError(
			"ECONFIG",
			`log level "${text}" is not known; it is one of ${LOG_LEVELS.join(", ")}`,
		);
	}
	return level;
}

/** Written at once and in order, so that nothing is missing after a crash. */
export function createLogger(level: LogLevel, destination: DestinationStream = pino.destination(2)): Logger {
	return pino(
		{
			level,
			base: { pid: process.pid },
			timestamp: pino.stdTimeFunctions.isoTime,
			formatters: { level: (label) => ({ level: label }) },
			serializers: { err: errorFields },
		},
		destination,
	);
}

/** An error with its code and what caused it; the stack only where it is no LamellaError, for then it is a fault. */
function errorFields(error: unknown): unknown {
	if (!(error instanceof Error)) return error;
	const cause = error.cause === undefined ? {} : { cause: errorFields(error.cause) };
	if (error instanceof LamellaError) return { code: error.code, message: error.message, ...cause };
	return { message: error.message, stack: error.stack, ...cause };
}
