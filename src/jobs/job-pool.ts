/**
 * JobPool: worker threads that run the functions of one job module, one job at a time each.
 *
 * Threads start when there is work and no idle one. An idle thread does not keep the process alive; a busy one
 * does. A thread that dies fails its job and is replaced when the next job needs it.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { LamellaError } from "../errors/index.ts";
import { distFile } from "../linux/index.ts";
import type { JobFunctions, RunOptions } from "./contract.ts";
import { fromWire, type JobMessage, type ThreadMessage } from "./wire.ts";
import type { ThreadData } from "./worker.ts";

/** How long a job may keep the calling thread. */
const HERE_MS = 25;

export interface JobPoolOptions {
	/** How many threads at most, but for jobs that are `waiting`. Default: the machine's parallelism, at least 2. */
	readonly threads?: number | undefined;
}

export interface PoolRunOptions extends RunOptions {
	/**
	 * The job waits for what another job or the main thread does (it reads or writes a pipe, or waits for another
	 * layer): it gets a thread of its own where none is idle, since in a queue it could wait for itself.
	 */
	readonly waits?: boolean | undefined;
}

interface Task {
	readonly message: JobMessage;
	readonly options: PoolRunOptions;
	readonly resolve: (result: unknown) => void;
	readonly reject: (error: Error) => void;
	onAbort?: (() => void) | undefined;
}

interface Thread {
	readonly worker: Worker;
	task: Task | undefined;
	/** Messages come and go in order, so a thread that failed is not given more. */
	dead: boolean;
}

/**
 * A pool for the job module `jobModule`, a file below dist/ (`layer/jobs/jobs.js`). `T` maps job names to their requests
 * and results.
 */
export class JobPool<T extends { [K in keyof T]: { request: unknown; result: unknown } }>
	implements AsyncDisposable
{
	readonly #jobModule: string;
	readonly #threadsMax: number;
	readonly #threads = new Set<Thread>();
	readonly #queue: Task[] = [];
	#functions: Promise<JobFunctions<T>> | undefined;
	#nextJob = 1;
	#disposed = false;

	constructor(jobModule: string, options: JobPoolOptions = {}) {
		this.#jobModule = jobModule;
		this.#threadsMax = options.threads ?? Math.max(2, availableParallelism());
	}

	/** How many threads jobs that do not wait are spread over. */
	get threads(): number {
		return this.#threadsMax;
	}

	/**
	 * Runs one job. Rejects with what the job threw (LamellaError and SystemError keep class, code and cause).
	 * @throws {LamellaError} `EABORTED` once the signal fires: after the job has noticed, so nothing of it runs on.
	 */
	run<K extends keyof T & string>(
		name: K,
		request: T[K]["request"],
		options: PoolRunOptions = {},
	): Promise<T[K]["result"]> {
		if (this.#disposed) return Promise.reject(new Error("the job pool is closed"));
		if (options.signal?.aborted === true) return Promise.reject(aborted());
		return new Promise((resolve, reject) => {
			const abortFlag = new SharedArrayBuffer(4);
			const wantsProgress = options.onProgress !== undefined;
			const message: JobMessage = { job: this.#nextJob++, name, request, abortFlag, wantsProgress };
			const task: Task = { message, options, resolve, reject };
			if (options.signal !== undefined) {
				task.onAbort = () => this.#abort(task);
				options.signal.addEventListener("abort", task.onAbort, { once: true });
			}
			this.#start(task);
		});
	}

	/**
	 * Runs a job in the calling thread, which it blocks: for one that takes less time than handing it over. Undefined
	 * where it failed or was not done within `HERE_MS`: then `run` it, and hear why. Not for jobs that change something.
	 */
	async tryHere<K extends keyof T & string>(
		name: K,
		request: T[K]["request"],
	): Promise<{ readonly result: T[K]["result"] } | undefined> {
		this.#functions ??= import(distFile(import.meta.url, this.#jobModule).href).then(
			(module: { jobs: JobFunctions<T> }) => module.jobs,
		);
		const functions = await this.#functions;
		const endMs = performance.now() + HERE_MS;
		const checkAborted = (): void => {
			if (performance.now() > endMs) throw aborted();
		};
		try {
			return { result: await functions[name](request, { checkAborted, progress: () => undefined }) };
		} catch {
			// The thread tells of it, if it is still so.
			return undefined;
		}
	}

	/** Cancels what runs and ends the threads. */
	async dispose(): Promise<void> {
		this.#disposed = true;
		for (const task of this.#queue.splice(0)) finish(task, () => task.reject(aborted()));
		const threads = [...this.#threads];
		for (const { task } of threads) if (task !== undefined) raise(task);
		await Promise.all(threads.map(({ worker }) => worker.terminate()));
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.dispose();
	}

	#start(task: Task): void {
		const idle = [...this.#threads].find((thread) => thread.task === undefined && !thread.dead);
		try {
			if (idle !== undefined) this.#give(idle, task);
			else if (this.#threads.size < this.#threadsMax || task.options.waits === true) {
				this.#give(this.#newThread(), task);
			} else this.#queue.push(task);
		} catch (error) {
			// A request that structured clone refuses, or a thread that cannot be started.
			finish(task, () => task.reject(error instanceof Error ? error : new Error(String(error))));
		}
	}

	#give(thread: Thread, task: Task): void {
		thread.worker.postMessage(task.message);
		thread.task = task;
		thread.worker.ref();
	}

	#newThread(): Thread {
		const data: ThreadData = { jobModule: distFile(import.meta.url, this.#jobModule).href };
		// Without execArgv: loaders of a test runner are not for threads that run compiled code.
		const worker = new Worker(distFile(import.meta.url, "jobs/worker.js"), {
			workerData: data,
			execArgv: [],
		});
		const thread: Thread = { worker, task: undefined, dead: false };
		this.#threads.add(thread);
		worker.on("message", (message: ThreadMessage) => this.#receive(thread, message));
		worker.on("error", (error: unknown) => this.#lose(thread, error));
		worker.on("messageerror", (error) => this.#lose(thread, error));
		worker.on("exit", (code) => this.#lose(thread, new Error(`the thread ended with code ${code}`)));
		return thread;
	}

	#receive(thread: Thread, message: ThreadMessage): void {
		const { task } = thread;
		if (task === undefined || task.message.job !== message.job) return;
		if (message.type === "progress") {
			task.options.onProgress?.(message.doneBytes);
			return;
		}
		thread.task = undefined;
		if (message.type === "done") finish(task, () => task.resolve(message.result));
		else finish(task, () => task.reject(fromWire(message.error)));
		this.#next(thread);
	}

	#next(thread: Thread): void {
		const task = this.#queue.shift();
		if (task !== undefined) this.#start(task);
		// Not once disposed: dispose() waits for the threads' end, and without a referenced thread the process would end first.
		else if (thread.task === undefined && !this.#disposed) {
			thread.worker.unref();
			// The ones beyond the limit were for jobs that had to wait.
			if (this.#threads.size > this.#threadsMax) {
				thread.dead = true;
				this.#threads.delete(thread);
				void thread.worker.terminate();
			}
		}
	}

	#lose(thread: Thread, error: unknown): void {
		thread.dead = true;
		this.#threads.delete(thread);
		const { task } = thread;
		thread.task = undefined;
		void thread.worker.terminate();
		if (task !== undefined) {
			const why = error instanceof Error ? error.message : String(error);
			const failure = this.#disposed
				? aborted()
				: new LamellaError("ESYSTEM", `the worker thread died while it ran "${task.message.name}": ${why}`, {
						cause: error,
					});
			finish(task, () => task.reject(failure));
		}
		const next = this.#disposed ? undefined : this.#queue.shift();
		if (next !== undefined) this.#start(next);
	}

	#abort(task: Task): void {
		const queued = this.#queue.indexOf(task);
		if (queued < 0) raise(task);
		else {
			this.#queue.splice(queued, 1);
			finish(task, () => task.reject(aborted()));
		}
	}
}

function finish(task: Task, settle: () => void): void {
	if (task.onAbort !== undefined) task.options.signal?.removeEventListener("abort", task.onAbort);
	settle();
}

function raise(task: Task): void {
	const flag = new Int32Array(task.message.abortFlag);
	Atomics.store(flag, 0, 1);
	Atomics.notify(flag, 0);
}

function aborted(): LamellaError {
	return new LamellaError("EABORTED", "the operation was cancelled");
}
