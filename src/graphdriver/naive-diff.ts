/**
 * Diffing for any driver that can only create, get, put and remove (moby's NaiveDiffDriver): both layers are
 * mounted and their trees compared; a diff is applied to the mounted tree in place.
 */
import type { Readable } from "node:stream";
import type { IdMaps } from "../idmap/index.ts";
import { JobPool } from "../jobs/index.ts";
import { type Change, type DiffSubject, LAYER_JOBS, type LayerJobs } from "../layer/index.ts";
import * as linux from "../linux/index.ts";
import { sourceFromStream } from "../store/index.ts";
import { withBuffers } from "./changes.ts";
import type { GraphDriver, ProtoDriver } from "./contract.ts";
import { readFromPipe } from "./drain.ts";

export interface NaiveDiffDriver extends GraphDriver, AsyncDisposable {
	/** Ends the worker threads. The wrapped driver stays. */
	close(): Promise<void>;
}

/** Gives `driver` the four calls of a DiffDriver. With `idMaps`, container ids in tars are host ids in the trees. */
export function naiveDiff(driver: ProtoDriver, idMaps?: IdMaps): NaiveDiffDriver {
	const jobs = new JobPool<LayerJobs>(LAYER_JOBS);

	/** Mounts the two trees. `release` gives them back. */
	async function holdTrees(
		id: string,
		parent: string,
	): Promise<{ subject: DiffSubject; release: () => Promise<void> }> {
		const to = await driver.get(id);
		if (parent === "") return { subject: { form: "trees", to }, release: () => driver.put(id) };
		try {
			const from = await driver.get(parent);
			const release = async (): Promise<void> => {
				await driver.put(parent);
				await driver.put(id);
			};
			return { subject: { form: "trees", from, to }, release };
		} catch (error) {
			await driver.put(id);
			throw error;
		}
	}

	async function withTrees<T>(
		id: string,
		parent: string,
		work: (subject: DiffSubject) => Promise<T>,
	): Promise<T> {
		const { subject, release } = await holdTrees(id, parent);
		try {
			return await work(subject);
		} finally {
			await release();
		}
	}

	async function diff(id: string, parent: string): Promise<Readable> {
		const { subject, release } = await holdTrees(id, parent);
		const { fd, stream } = readFromPipe();
		const abort = new AbortController();
		stream.once("close", () => abort.abort());
		jobs
			.run("diff", { subject, fd, idMaps, expandHoles: true }, { waits: true, signal: abort.signal })
			.catch((error: Error) => stream.destroy(error))
			.finally(() => linux.close(fd))
			.then(release)
			.catch((error: Error) => stream.destroy(error));
		return stream;
	}

	/** The tree is changed in place: of a diff that fails halfway the layer keeps a half, and is to be removed. */
	async function applyDiff(id: string, _parent: string, tar: Readable): Promise<number> {
		const directory = await driver.get(id);
		const { source, done, close } = sourceFromStream(tar);
		try {
			const target = {
				form: "plain",
				directory,
				lowers: [],
				xattrPrefix: "trusted.overlay.",
				shareInodes: false,
			} as const;
			const applied = await jobs.run("apply", { target, source, idMaps }, { waits: true });
			await done;
			return applied.contentSizeBytes;
		} finally {
			close();
			await driver.put(id);
		}
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
			withTrees(id, parent, async (subject) => withBuffers(await jobs.run("changes", { subject }))),
		diffSize: (id, parent) => withTrees(id, parent, (subject) => jobs.run("diffSize", { subject })),
		close: () => jobs.dispose(),
		[Symbol.asyncDispose]: () => jobs.dispose(),
	};
}
