/**
 * Reading what a layer changed where the changes are few: the calling thread does it in less time than it takes to hand it to
 * another thread, let alone to start one.
 */
import { opendirSync } from "node:fs";
import path from "node:path";
import type { JobPool } from "../../jobs/index.ts";
import type { DiffRequest, DiffResult, DiffSubject, LayerJobs } from "../../layer/index.ts";
import * as linux from "../../linux/index.ts";
import type { OperationOptions } from "../contract.ts";
import { bigPipe } from "./pipes.ts";

/** Each takes some 50 µs, and a container that has done its work seldom has more. */
const SMALL_ENTRIES = 64;

/** Runs a job on a subject, here or in a thread. */
export async function readSubject<K extends "changes" | "diffSize">(
	jobs: JobPool<LayerJobs>,
	name: K,
	subject: DiffSubject,
	{ signal, onProgress }: OperationOptions,
): Promise<LayerJobs[K]["result"]> {
	const here =
		signal?.aborted !== true && isSmall(subject) ? await jobs.tryHere(name, { subject }) : undefined;
	return here === undefined ? jobs.run(name, { subject }, { signal, onProgress }) : here.result;
}

/** Writes the layer tar to `request.fd`, an empty pipe, from here or from a thread. */
export async function writeDiff(
	jobs: JobPool<LayerJobs>,
	request: DiffRequest,
	{ signal, onProgress }: OperationOptions,
): Promise<DiffResult> {
	const isBrief = signal?.aborted !== true && isSmall(request.subject);
	const here = isBrief ? await diffInMemory(jobs, request) : undefined;
	// A tar larger than the pipe would wait for its reader, which is this thread, too.
	if (here === undefined || here.tar.length > linux.pipeSize(request.fd)) {
		return jobs.run("diff", request, { signal, onProgress, waits: true });
	}
	linux.write(request.fd, here.tar);
	return here.result;
}

/** Undefined where the tar does not fit into a pipe. */
async function diffInMemory(
	jobs: JobPool<LayerJobs>,
	request: DiffRequest,
): Promise<{ readonly result: DiffResult; readonly tar: Buffer } | undefined> {
	const { readFd, writeFd } = bigPipe(linux.O_NONBLOCK);
	try {
		const here = await jobs.tryHere("diff", { ...request, fd: writeFd });
		if (here === undefined) return undefined;
		const tar = Buffer.allocUnsafe(here.result.tarSizeBytes);
		for (let at = 0; at < tar.length; ) at += linux.read(readFd, tar, at);
		return { result: here.result, tar };
	} finally {
		linux.close(readFd);
		linux.close(writeFd);
	}
}

/** Whether an upper has few entries. Never looks at more than a few, even where a directory is being filled. */
function isSmall(subject: DiffSubject): boolean {
	if (subject.form !== "upper") return false;
	const directories = [subject.upper];
	let entries = 0;
	try {
		for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
			const handle = opendirSync(directory, { bufferSize: SMALL_ENTRIES });
			try {
				for (let entry = handle.readSync(); entry !== null; entry = handle.readSync()) {
					if (++entries > SMALL_ENTRIES) return false;
					if (entry.isDirectory()) directories.push(path.join(directory, entry.name));
				}
			} finally {
				handle.closeSync();
			}
		}
		return true;
	} catch {
		// It is changing, or has names that are not UTF-8: the job deals with that.
		return false;
	}
}
