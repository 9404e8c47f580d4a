/**
 * The diff of a packed layer: its tar, byte for byte. Where the request asks for other owners or times, or for files
 * without holes, the tar's members are written anew with these changes made.
 */
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { LamellaError } from "../../errors/index.ts";
import type { IdMaps } from "../../idmap/index.ts";
import type { JobContext } from "../../jobs/index.ts";
import * as linux from "../../linux/index.ts";
import { TarReader, TarWriter } from "../../tar/index.ts";
import type { DiffSubject, KeptTar } from "../contract.ts";
import { TarOutput } from "../diff/tar-output.ts";
import type { DiffRequest, DiffResult } from "../jobs/job-contract.ts";
import { asLamellaError } from "../system-failure.ts";
import { readIndex, readIndexHeader } from "./index-file.ts";
import { identitiesOf, lookAtLayerFile, openLayerFile, TAR_FILE } from "./layer-files.ts";
import { MemberRewriter } from "./member-rewriter.ts";

const CHUNK_BYTES = 1 << 20;
/** Of one call that copies within the kernel. */
const COPY_BYTES = 64 << 20;

/**
 * Writes the layer's tar to `request.fd`.
 * @throws {LamellaError} `ECORRUPT` where layer.tar is not the file that was indexed; `EINVALID` for an owner that the ID
 * maps do not cover; `EABORTED`, `ESYSTEM`
 */
export function writePackedDiff(
	request: DiffRequest,
	{ layer }: Extract<DiffSubject, { form: "packed" }>,
	context: JobContext,
): DiffResult {
	const header = readIndexHeader(layer);
	const { diffId, tarSizeBytes, contentSizeBytes } = header;
	const file = path.join(layer, TAR_FILE);
	const tarFd = openLayerFile(file, identitiesOf(header)[0]);
	try {
		const idMaps = { from: header.isIdMapped ? readIndex(layer).idMaps : undefined, to: request.idMaps };
		const sameOwners = isDeepStrictEqual(meaningOf(idMaps.from), meaningOf(idMaps.to));
		const expandHoles = request.expandHoles === true && header.dataSizeBytes > 0;
		if (sameOwners && request.wholeSeconds !== true && !expandHoles) {
			send(tarFd, request.fd, tarSizeBytes, context);
			return { diffId, tarSizeBytes, contentSizeBytes, warnings: [] };
		}
		const output = new TarOutput(request.fd, context);
		const writer = new TarWriter((bytes) => output.write(bytes), { wholeSeconds: request.wholeSeconds });
		const reader = new TarReader(
			new MemberRewriter(writer, {
				idMaps: sameOwners ? undefined : idMaps,
				expandHoles,
			}),
		);
		for (const chunk of chunksOf(tarFd, tarSizeBytes, context)) reader.write(chunk);
		reader.end();
		writer.finish();
		return {
			diffId: output.diffId(),
			tarSizeBytes: output.sizeBytes,
			contentSizeBytes,
			warnings: [],
		};
	} catch (error) {
		throw asLamellaError(error, "send", () => file);
	} finally {
		linux.close(tarFd);
	}
}

/** The bytes of an open file, in one buffer that is used again. */
export function* chunksOf(fd: number, sizeBytes: number, context: JobContext): Generator<Buffer> {
	const buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(CHUNK_BYTES, sizeBytes)));
	for (let done = 0; done < sizeBytes; ) {
		context.checkAborted();
		const count = linux.pread(fd, buffer, 0, Math.min(buffer.length, sizeBytes - done), done);
		if (count === 0) return;
		yield buffer.subarray(0, count);
		done += count;
	}
}

/** Without ranges every number is itself, as without maps. */
function meaningOf(maps: IdMaps | undefined): IdMaps | undefined {
	return maps !== undefined && maps.uids.length + maps.gids.length > 0 ? maps : undefined;
}

/**
 * The layer's tar where it is the very bytes that a diff without options gives: with its owners as they came.
 * @throws {LamellaError} `ECORRUPT` where layer.tar is not the file that was indexed
 */
export function keptTar(directory: string): KeptTar | undefined {
	const header = readIndexHeader(directory);
	const { diffId, tarSizeBytes, isIdMapped } = header;
	if (isIdMapped) return undefined;
	const file = path.join(directory, TAR_FILE);
	lookAtLayerFile(file, identitiesOf(header)[0]);
	return { path: file, diffId, sizeBytes: tarSizeBytes };
}

function send(fromFd: number, toFd: number, sizeBytes: number, context: JobContext): void {
	let done = 0;
	try {
		while (done < sizeBytes) {
			context.checkAborted();
			const wanted = Math.min(COPY_BYTES, sizeBytes - done);
			const count = linux.copyFileRange(fromFd, done, toFd, null, wanted);
			if (count === 0) break;
			done += count;
			context.progress(done);
		}
	} catch (error) {
		// A pipe, another kind of filesystem, a file opened for appending.
		const cannot = linux.isSystemError(error, "EINVAL", "EXDEV", "EOPNOTSUPP", "EBADF", "ENOSYS", "ETXTBSY");
		if (!cannot || done > 0) throw error;
		for (const chunk of chunksOf(fromFd, sizeBytes, context)) {
			linux.write(toFd, chunk);
			done += chunk.length;
			context.progress(done);
		}
	}
	if (done === sizeBytes) return;
	throw new LamellaError(
		"ECORRUPT",
		`a layer's tar ended after ${done} of ${sizeBytes} bytes: it was cut while it was read`,
	);
}
