/** A job module for the pool's own tests. */
import { closeSync, openSync } from "node:fs";
import { threadId } from "node:worker_threads";
import { LamellaError } from "../../errors/index.ts";
import type { JobContext, JobFunctions } from "../contract.ts";

export interface SampleJobs {
	readonly whichThread: { request: undefined; result: number };
	readonly double: { request: number; result: number };
	readonly fail: { request: { how: "lamella" | "node" | "plain" }; result: undefined };
	readonly spin: { request: { started?: SharedArrayBuffer }; result: undefined };
	readonly die: { request: { how: "exit" | "throw" }; result: undefined };
	readonly report: { request: number; result: undefined };
	/** Blocks until somebody stores 1: stands for a job at one end of a pipe. */
	readonly wait: { request: SharedArrayBuffer; result: number };
	readonly wake: { request: SharedArrayBuffer; result: undefined };
}

export const jobs: JobFunctions<SampleJobs> = {
	whichThread: () => threadId,
	double: (value) => value * 2,
	fail: ({ how }) => {
		if (how === "plain") throw new TypeError("plain trouble");
		try {
			closeSync(openSync("/nonexistent/file", "r"));
		} catch (cause) {
			if (how === "node") throw cause;
			throw new LamellaError("ETAR", "the tar is cut off", { layer: "web", path: "etc/passwd", cause });
		}
		return undefined;
	},
	spin: ({ started }, context: JobContext) => {
		if (started !== undefined) {
			Atomics.store(new Int32Array(started), 0, 1);
			Atomics.notify(new Int32Array(started), 0);
		}
		for (;;) context.checkAborted();
	},
	die: ({ how }) => {
		if (how === "exit") process.exit(3);
		queueMicrotask(() => {
			throw new Error("out of nowhere");
		});
		return new Promise<undefined>(() => undefined);
	},
	report: async (bytes, context) => {
		for (let done = 0; done <= bytes; done += 1024 * 1024) {
			context.progress(done);
			await new Promise((resolve) => setTimeout(resolve, 10));
		}
		return undefined;
	},
	wait: (shared) => {
		Atomics.wait(new Int32Array(shared), 0, 0);
		return Atomics.load(new Int32Array(shared), 0);
	},
	wake: (shared) => {
		Atomics.store(new Int32Array(shared), 0, 1);
		Atomics.notify(new Int32Array(shared), 0);
		return undefined;
	},
};
