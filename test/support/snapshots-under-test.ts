/** A store on a filesystem of its own, and a snapshotter over it for each set of options. */
import { mkdirSync } from "node:fs";
import path from "node:path";
import type { Mount } from "../../src/serve/containerd/generated/containerd/types/mount_pb.ts";
import type { SnapshotterOptions } from "../../src/serve/containerd/options.ts";
import { serveContainerd } from "../../src/serve/containerd/serve.ts";
import { createLogger } from "../../src/serve/log.ts";
import { type LayerStore, openLayerStore } from "../../src/store/index.ts";
import { makeFilesystem, type TestFilesystem, unmountBelow } from "./filesystems.ts";
import { SnapshotsClient, withMounts } from "./snapshots-client.ts";

export class SnapshotsUnderTest implements AsyncDisposable {
	readonly filesystem: TestFilesystem;
	readonly store: LayerStore;
	readonly #stack = new AsyncDisposableStack();
	#count = 0;

	private constructor(filesystem: TestFilesystem, store: LayerStore) {
		this.filesystem = this.#stack.use(filesystem);
		this.store = this.#stack.use(store);
	}

	static async open(): Promise<SnapshotsUnderTest> {
		const filesystem = makeFilesystem("ext4", 2 ** 30);
		const store = await openLayerStore({ root: path.join(filesystem.path, "store") });
		return new SnapshotsUnderTest(filesystem, store);
	}

	/** A client of a server with these options. */
	async serve(options: Partial<SnapshotterOptions> = {}): Promise<SnapshotsClient> {
		const socket = path.join(this.filesystem.path, `${++this.#count}.sock`);
		const log = createLogger("silent");
		this.#stack.use(await serveContainerd({ store: this.store, socket, options, log }));
		return this.#stack.use(new SnapshotsClient(socket));
	}

	/** A key that no other test has, spelled as containerd's are. */
	fresh(name: string): string {
		return `default/${++this.#count}/${name} x`;
	}

	emptyDirectory(): string {
		const made = path.join(this.filesystem.path, "mounts", String(++this.#count));
		mkdirSync(made, { recursive: true });
		return made;
	}

	within<R>(mounts: readonly Mount[], work: (root: string) => R): R {
		return withMounts(mounts, this.emptyDirectory(), work);
	}

	/** Commits a layer over `parent` in which `work` was done; returns its name. */
	async layer(client: SnapshotsClient, parent: string, work: (root: string) => void): Promise<string> {
		const [key, name] = [this.fresh("extract"), this.fresh("committed")];
		this.within(await client.prepare(key, parent), work);
		await client.commit(name, key);
		return name;
	}

	unmountAll(): void {
		unmountBelow(path.join(this.filesystem.path, "mounts"));
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#stack.disposeAsync();
	}
}
