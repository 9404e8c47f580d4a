/** A gRPC client of `containerd.services.snapshots.v1`: of a proxy snapshotter's socket or of containerd itself. */
import { mkdirSync } from "node:fs";
import type { DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { type Client, Metadata, type status } from "@grpc/grpc-js";
import {
	type Info,
	type InfoSchema,
	Snapshots,
} from "../../src/serve/containerd/generated/containerd/services/snapshots/v1/snapshots_pb.ts";
import type { Mount } from "../../src/serve/containerd/generated/containerd/types/mount_pb.ts";
import { begin, connectTo, streamed } from "./grpc-client.ts";
import { run } from "./processes.ts";

type Methods = (typeof Snapshots)["method"];

export interface SnapshotUsage {
	readonly sizeBytes: number;
	readonly inodes: number;
}

export class SnapshotsClient implements Disposable {
	readonly #client: Client;
	readonly #snapshotter: string;
	readonly #metadata = new Metadata();

	constructor(
		socket: string,
		{ snapshotter = "lamella", namespace = "default" }: { snapshotter?: string; namespace?: string } = {},
	) {
		this.#client = connectTo(socket);
		this.#snapshotter = snapshotter;
		this.#metadata.set("containerd-namespace", namespace);
	}

	async prepare(key: string, parent = "", labels: Record<string, string> = {}): Promise<Mount[]> {
		return (await this.#call("prepare", { key, parent, labels })).mounts;
	}

	async view(key: string, parent = "", labels: Record<string, string> = {}): Promise<Mount[]> {
		return (await this.#call("view", { key, parent, labels })).mounts;
	}

	async mounts(key: string): Promise<Mount[]> {
		return (await this.#call("mounts", { key })).mounts;
	}

	async commit(name: string, key: string, labels: Record<string, string> = {}): Promise<void> {
		await this.#call("commit", { name, key, labels });
	}

	async remove(key: string): Promise<void> {
		await this.#call("remove", { key });
	}

	async stat(key: string): Promise<Info> {
		const { info } = await this.#call("stat", { key });
		if (info === undefined) throw new Error(`no info of ${key}`);
		return info;
	}

	async update(info: MessageInitShape<typeof InfoSchema>, paths?: readonly string[]): Promise<Info> {
		const updateMask = paths === undefined ? {} : { updateMask: { paths: [...paths] } };
		const answer = await this.#call("update", { info, ...updateMask });
		if (answer.info === undefined) throw new Error("no info");
		return answer.info;
	}

	async list(...filters: string[]): Promise<Info[]> {
		const request = { snapshotter: this.#snapshotter, filters };
		const stream = streamed(this.#client, Snapshots.method.list, request, this.#metadata);
		const infos: Info[] = [];
		for await (const message of stream) infos.push(...message.info);
		return infos;
	}

	async names(...filters: string[]): Promise<string[]> {
		return (await this.list(...filters)).map(({ name }) => name).sort();
	}

	async usage(key: string): Promise<SnapshotUsage> {
		const { size, inodes } = await this.#call("usage", { key });
		return { sizeBytes: Number(size), inodes: Number(inodes) };
	}

	async cleanup(): Promise<void> {
		await this.#call("cleanup", {});
	}

	close(): void {
		this.#client.close();
	}

	[Symbol.dispose](): void {
		this.close();
	}

	#call<K extends keyof Methods>(
		name: K,
		fields: MessageInitShape<Methods[K]["input"]>,
	): Promise<MessageShape<Methods[K]["output"]>> {
		const method: DescMethod = Snapshots.method[name];
		const request = { ...fields, snapshotter: this.#snapshotter };
		const { answer } = begin(this.#client, method, request, { metadata: this.#metadata });
		return answer as Promise<MessageShape<Methods[K]["output"]>>;
	}
}

/** The status that a call fails with; undefined where it goes well. */
export function codeOf(call: Promise<unknown>): Promise<status | undefined> {
	return call.then(
		() => undefined,
		(error: { code: status }) => error.code,
	);
}

/** Mounts what was described at the directory `target`, as containerd would, for as long as `work` runs. */
export function withMounts<R>(mounts: readonly Mount[], target: string, work: (root: string) => R): R {
	mkdirSync(target, { recursive: true });
	for (const { type, source, options } of mounts) {
		run("mount", ["-t", type, "-o", options.join(","), source, target]);
	}
	try {
		return work(target);
	} finally {
		run("umount", [target]);
	}
}
