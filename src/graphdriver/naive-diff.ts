/**
 * Diffing for any driver that can only create, get, put and remove (moby's NaiveDiffDriver): both layers are
 * mounted and their trees compared; a diff is applied to the mounted tree in place.
 */
import type { Readable } from "node:stream";
import type { IdMaps } from "../idmap/index.ts";
import { JobPool } from "../jobs/index.ts";
import { type Change, type DiffSubject, LAYER_JOBS, type LayerJobs } from "../layer/index.ts";
import * as linux from "../linux/index.ts";
import type { GraphDriver, ProtoDriver } from "./contract.ts";
import { readFromPipe } from "./drain.ts";
import { feedThroughPipe } from "./feed.ts";

export interface NaiveDiffDriver extends GraphDriver, AsyncDisposable {
	/** Ends the worker threads. The wrapped driver stays. */
	close(): Promise<void>;
}

/** Gives `driver` the four calls of a DiffDriver. With `idMaps`, container ids in tars are host ids in the trees. */
export function naiveDiff(driver: ProtoDriver, idMaps?: IdMaps): NaiveDiffDriver {
	const jobs = new JobPool<LayerJobs>(LAYER_JOBS);

	/** Runs `work` with the two trees mounted. */
	async function withTrees<T>(
		id: string,
		parent: string,
		work: (subject: DiffSubject) => Promise<T>,
	): Promise<T> {
		const to = await driver.get(id);
		try {
			if (parent === "") return await work({ form: "trees", to });
			const from = await driver.get(parent);
			try {
				return await work({ form: "trees", from, to });
			} finally {
				await driver.put(parent);
			}
		} finally {
			await driver.put(id);
		}
	}

	async function diff(id: string, parent: string): Promise<Readable> {
		const { fd, stream } = readFromPipe();
		const abort = new AbortController();
		stream.once("close", () => abort.abort());
		withTrees(id, parent, (subject) =>
			jobs.run("diff", { subject, fd, idMaps }, { waits: true, signal: abort.signal }),
		)
			.catch((error: Error) => stream.destroy(error))
			.finally(() => linux.close(fd));
		return stream;
	}

	function applyDiff(id: string, _parent: string, tar: Readable): Promise<number> {
		return feedThroughPipe(
			tar,
			async (fd, signal) => {
				const directory = await driver.get(id);
				try {
					const applied = await jobs.run(
						"apply",
						{
							target: {
								form: "plain",
								directory,
								lowers: [],
								xattrPrefix: "trusted.overlay.",
								shareInodes: false,
							},
							source: { from: "pipe", fd, compression: "none" },
							idMaps,
						},
						{ waits: true, signal },
					);
					return applied.contentSizeBytes;
				} finally {
					await driver.put(id);
				}
			},
			// The tree was changed in place; dockerd removes a layer whose diff failed.
			async () => undefined,
		);
	}

	return {
		name: () => driver.name(),
		status: () => driver.status(),
		create: (id, parent, options) => driver.create(id, parent, options),
		createReadWrite: (id, parent, options) => driver.createReadWrite(id, parent, options),
		remove: (id) => driver.remove(id),
		get: (id, mountLabel) => driver.get(id, mountLabel),
		put: (id) => driver.put(id),
		exists: (id) => driver.exists(id),
		metadata: (id) => driver.metadata(id),
		cleanup: () => driver.cleanup(),
		diff,
		applyDiff,
		changes: (id, parent): Promise<readonly Change[]> =>
			withTrees(id, parent, (subject) => jobs.run("changes", { subject })),
		diffSize: (id, parent) => withTrees(id, parent, (subject) => jobs.run("diffSize", { subject })),
		close: () => jobs.dispose(),
		[Symbol.asyncDispose]: () => jobs.dispose(),
	};
}
