/**
 * The vfs driver, for filesystems on which overlayfs cannot work: every layer is a whole tree in `root/`, copied
 * from its parent's (reflinked where the filesystem can). Nothing is mounted but views, which must be read-only.
 */

import { mkdirSync, statSync } from "node:fs";
import { LamellaError } from "../../errors/index.ts";
import type { RunOptions } from "../../jobs/index.ts";
import type { Usage } from "../../layer/index.ts";
import { mountBind } from "../bind.ts";
import type {
	Checked,
	ContentCheckOptions,
	CopyOptions,
	Driver,
	HeldSubject,
	LayerJobRunner,
	LayerPaths,
	LayerPlace,
	LayerProblem,
	MountDescription,
	MountRequest,
	PreparedApply,
	PrepareOptions,
	UnmountOptions,
} from "../driver.ts";
import { mountFailure } from "../failure.ts";
import { type LayerForm, WHOLE } from "../form.ts";
import { inheritTreeRoot, makeTreeRoot, mapTreeRoot, rootOf } from "../place.ts";
import { isMountPoint, unmountTree } from "../unmount.ts";

export class VfsDriver implements Driver {
	readonly name = "vfs";
	readonly form: LayerForm = WHOLE;
	// A layer begins as a copy of its parent's tree, which therefore has to be whole.
	readonly appliesSideBySide = false;
	readonly #jobs: LayerJobRunner;
	readonly #status: () => readonly (readonly [string, string])[];

	constructor(jobs: LayerJobRunner, status: () => readonly (readonly [string, string])[]) {
		this.#jobs = jobs;
		this.#status = status;
	}

	status(): readonly (readonly [string, string])[] {
		return this.#status();
	}

	mergeDepth(): number {
		return 1;
	}

	async prepare(
		staged: string,
		chain: readonly LayerPlace[],
		{ idMaps }: Pick<PrepareOptions, "idMaps"> = {},
	): Promise<void> {
		const root = rootOf({ directory: staged });
		await makeTreeRoot(root);
		const [parent] = chain;
		if (parent !== undefined) {
			await this.#jobs.run("copy", { from: rootOf(parent), to: root });
			inheritTreeRoot(root, rootOf(parent));
		}
		mapTreeRoot(root, idMaps);
	}

	async prepareApply(staged: string, chain: readonly LayerPlace[]): Promise<PreparedApply> {
		await this.prepare(staged, chain);
		return {
			form: WHOLE,
			target: {
				form: "plain",
				directory: rootOf({ directory: staged }),
				lowers: [],
				xattrPrefix: "trusted.overlay.",
				shareInodes: false,
			},
			[Symbol.asyncDispose]: () => Promise.resolve(),
		};
	}

	async describeMount({ layer, kind }: MountRequest): Promise<MountDescription> {
		return { type: "bind", source: rootOf(layer), options: [kind === "active" ? "rw" : "ro", "rbind"] };
	}

	async mount({ layer, kind, mountLabel }: MountRequest): Promise<string> {
		if (mountLabel !== undefined && mountLabel !== "") {
			throw new LamellaError(
				"ENOTSUPPORTED",
				`the vfs driver cannot give the mount label ${mountLabel}, for it mounts no filesystem; leave the label out`,
			);
		}
		if (kind === "active") return rootOf(layer);
		const merged = layer.mountPoint;
		if (isMountPoint(merged)) return merged;
		try {
			mkdirSync(merged, { recursive: true, mode: 0o700 });
			mountBind(rootOf(layer), merged, true);
		} catch (error) {
			throw mountFailure(error, merged);
		}
		return merged;
	}

	unmount(layer: LayerPlace, options: UnmountOptions = {}): void {
		unmountTree(layer.mountPoint, options);
	}

	async prime(): Promise<void> {}

	async release(): Promise<void> {}

	isMounted(layer: LayerPlace): boolean {
		return isMountPoint(layer.mountPoint);
	}

	paths(layer: LayerPlace): LayerPaths {
		return { root: rootOf(layer), lowers: [], merged: layer.mountPoint };
	}

	async isUntouched(): Promise<undefined> {
		return undefined;
	}

	hold(layer: LayerPlace, chain: readonly LayerPlace[]): Promise<HeldSubject> {
		const [parent] = chain;
		const from = parent === undefined ? undefined : rootOf(parent);
		return Promise.resolve({
			subject: { form: "trees", from, to: rootOf(layer) },
			[Symbol.asyncDispose]: () => Promise.resolve(),
		});
	}

	look(layer: LayerPlace): readonly LayerProblem[] {
		const path = rootOf(layer);
		if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return [];
		return [{ kind: "content-missing", path, message: `${path} is missing, or not a directory` }];
	}

	async check(
		layer: LayerPlace,
		_chain: readonly LayerPlace[],
		{ sealedAtNs, ...options }: ContentCheckOptions,
	): Promise<Checked> {
		// In a whole tree overlayfs's marks are plain xattrs.
		const request = { directory: rootOf(layer), sealedAtNs, xattrPrefix: "trusted.overlay." } as const;
		const problems = await this.#jobs.run("checkTree", request, options);
		return { isVerified: false, problems: problems.filter(({ kind }) => kind !== "marks-misread") };
	}

	withoutDerived(form: LayerForm): LayerForm {
		return form;
	}

	dropDerived(): void {}

	keptTar(): undefined {
		return undefined;
	}

	usage(layer: LayerPlace, options?: RunOptions): Promise<Usage> {
		return this.#jobs.run("usage", { directories: [rootOf(layer)] }, options);
	}

	async seal(layer: LayerPlace, also: readonly string[], options?: RunOptions): Promise<void> {
		await this.#jobs.run("flush", { trees: [rootOf(layer)], paths: also }, options);
	}

	async sealApplied(
		[any]: readonly LayerPlace[],
		_also: readonly string[],
		options?: RunOptions,
	): Promise<void> {
		if (any !== undefined) await this.#jobs.run("sync", { path: any.directory }, options);
	}

	async copy(staged: string, layer: LayerPlace, { share, ...options }: CopyOptions): Promise<LayerForm> {
		const to = rootOf({ directory: staged });
		await this.#jobs.run("copy", { from: rootOf(layer), to, share }, options);
		return WHOLE;
	}

	async finishCommit(): Promise<void> {}
}
