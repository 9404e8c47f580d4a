/**
 * Flushes for several callers at once. What is asked for while a flush is under way is flushed together by the next one:
 * file by file where they are few, else the whole filesystem.
 */
import type { LayerJobRunner } from "../../driver/index.ts";
import { errnoOf } from "../failure.ts";
import { Together } from "../processes/together.ts";
import { flush } from "./flush.ts";

/** As many flushes as cost less than one of the whole filesystem. */
const FEW_PATHS = 12;

export class GroupFlush {
	readonly #flushes: Together;
	#paths = new Set<string>();

	/** `root` is on the filesystem of all paths. */
	constructor(root: string, jobs: LayerJobRunner) {
		this.#flushes = new Together(async () => {
			const paths = [...this.#paths];
			this.#paths = new Set();
			if (paths.length > FEW_PATHS) await jobs.run("sync", { path: root });
			else await Promise.all(paths.map(flushUnlessGone));
		});
	}

	/** Resolves when the files and directories are durable. */
	flush(paths: readonly string[]): Promise<void> {
		for (const path of paths) this.#paths.add(path);
		return this.#flushes.done();
	}
}

/** What was removed meanwhile does not fail the others. */
async function flushUnlessGone(path: string): Promise<void> {
	try {
		await flush(path);
	} catch (error) {
		if (errnoOf(error) !== "ENOENT") throw error;
	}
}
