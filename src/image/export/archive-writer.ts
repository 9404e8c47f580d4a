/** A deterministic tar of an image layout, written to an Output: directories, then files, all of root and of 1970. */
import fs from "node:fs";
import { type TarEntry, TarWriter } from "../../tar/index.ts";
import { checkAborted } from "../failure.ts";
import type { Output } from "./output-file.ts";

const BUFFER_BYTES = 1 << 20;
/** Of content at one time: each piece goes through two other threads. */
const COPY_BYTES = 4 << 20;
const NO_BYTES = Buffer.alloc(0);

export type ArchiveMember =
	| { readonly name: string; readonly bytes: Buffer }
	| { readonly name: string; readonly path: string; readonly sizeBytes: number };

/** Writes the whole archive; returns its length. Does not finish the output. */
export async function writeArchive(
	members: readonly ArchiveMember[],
	output: Output,
	signal: AbortSignal | undefined,
): Promise<number> {
	let pending: Uint8Array[] = [];
	let written = 0;
	const content = Buffer.allocUnsafeSlow(COPY_BYTES);
	// The writer's buffer is reused, and the output takes its time. Content is written before more of it is read.
	const keep = (chunk: Uint8Array): Uint8Array =>
		chunk.buffer === content.buffer ? chunk : Uint8Array.from(chunk);
	const writer = new TarWriter((chunk) => pending.push(keep(chunk)), { bufferSizeBytes: BUFFER_BYTES });
	const drain = async (): Promise<void> => {
		const chunks = pending;
		pending = [];
		for (const chunk of chunks) {
			await output.write(chunk);
			written += chunk.length;
		}
	};
	for (const directory of directoriesOf(members)) {
		writer.entry(entryOf(`${directory}/`, "directory", 0));
		writer.entryEnd();
	}
	for (const member of members) {
		checkAborted(signal, "export");
		if ("bytes" in member) {
			writer.entry(entryOf(member.name, "file", member.bytes.length));
			writer.data(member.bytes);
		} else {
			writer.entry(entryOf(member.name, "file", member.sizeBytes));
			const file = await fs.promises.open(member.path, "r");
			try {
				for (;;) {
					checkAborted(signal, "export");
					const { bytesRead } = await file.read(content, 0, COPY_BYTES);
					if (bytesRead === 0) break;
					writer.data(content.subarray(0, bytesRead));
					await drain();
				}
			} finally {
				await file.close();
			}
		}
		writer.entryEnd();
	}
	writer.finish();
	await drain();
	return written;
}

/** Parents first, each once. */
function directoriesOf(members: readonly ArchiveMember[]): readonly string[] {
	const directories = new Set<string>();
	for (const { name } of members) {
		const parts = name.split("/").slice(0, -1);
		for (let i = 1; i <= parts.length; i++) directories.add(parts.slice(0, i).join("/"));
	}
	return [...directories];
}

function entryOf(name: string, type: "file" | "directory", sizeBytes: number): TarEntry {
	return {
		path: Buffer.from(name),
		type,
		mode: type === "directory" ? 0o755 : 0o644,
		uid: 0,
		gid: 0,
		sizeBytes,
		mtimeNs: 0n,
		linkPath: NO_BYTES,
		deviceMajor: 0,
		deviceMinor: 0,
		xattrs: [],
	};
}
