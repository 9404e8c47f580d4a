/**
 * Entry of a worker thread: loads the job module named in its `workerData`, then runs one job after the other
 * as the pool sends them.
 */
import { parentPort, workerData } from "node:worker_threads";
import { LamellaError } from "../errors/index.ts";
import type { JobContext } from "./contract.ts";
import { type JobMessage, type ThreadMessage, toWire } from "./wire.ts";

/** What a thread is started with. */
export interface ThreadData {
	/** A module that exports `jobs`. */
	readonly jobModule: string;
}

type AnyJob = (request: unknown, context: JobContext) => unknown;

const PROGRESS_INTERVAL_MS = 50;
// Reading the clock at each call would cost more than the call.
const PROGRESS_STEP_BYTES = 256 * 1024;

const port = parentPort;
if (port === null) throw new Error("this module is the entry of a worker thread and does nothing by itself");

const { jobModule } = workerData as ThreadData;
let jobs: Promise<Readonly<Record<string, AnyJob>>> | undefined;

port.on("message", (message: JobMessage) => {
	void run(message).then((answer) => port.postMessage(answer));
});

async function run(message: JobMessage): Promise<ThreadMessage> {
	const { job, name, request } = message;
	try {
		jobs ??= import(jobModule).then((module: { jobs: Readonly<Record<string, AnyJob>> }) => module.jobs);
		const table = await jobs;
		const found = Object.hasOwn(table, name) ? table[name] : undefined;
		if (found === undefined) throw new Error(`${jobModule} has no job "${name}"`);
		const context = contextOf(message);
		context.checkAborted();
		return { type: "done", job, result: await found(request, context) };
	} catch (error) {
		return { type: "failed", job, error: toWire(error) };
	}
}

function contextOf({ job, abortFlag, wantsProgress }: JobMessage): JobContext {
	const flag = new Int32Array(abortFlag);
	let reportedBytes = 0;
	let reportedAtMs = 0;
	return {
		checkAborted: () => {
			if (Atomics.load(flag, 0) !== 0) throw new LamellaError("EABORTED", "the operation was cancelled");
		},
		progress: (doneBytes) => {
			if (!wantsProgress || doneBytes - reportedBytes < PROGRESS_STEP_BYTES) return;
			const nowMs = performance.now();
			if (nowMs - reportedAtMs < PROGRESS_INTERVAL_MS) return;
			reportedBytes = doneBytes;
			reportedAtMs = nowMs;
			port?.postMessage({ type: "progress", job, doneBytes } satisfies ThreadMessage);
		},
	};
}
