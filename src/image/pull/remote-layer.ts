/** A layer that comes from a registry while it is applied: opened when its turn comes, and once more where what came was wrong. */
import { type ErrorCode, escapePath, type LamellaError } from "../../errors/index.ts";
import type { BlobStream, RegistryClient } from "../../registry/index.ts";
import type { RegistryReference } from "../../registry/reference/index.ts";
import type { Descriptor } from "../documents/parse.ts";
import type { PlannedLayer } from "../import/plan.ts";

/** The errors that a blob may end in when a host, or a proxy before it, sent wrong bytes. */
const WRONG_BYTES: ReadonlySet<ErrorCode> = new Set(["ECOMPRESSION", "EDIGEST", "ETAR", "EUNSAFE"]);
/** A proxy may err once. Bytes that are wrong each time are wrong at the host. */
const MAX_ATTEMPTS = 3;

export interface RemoteLayer extends Pick<PlannedLayer, "source" | "again"> {
	readonly member: string;
}

/** Where the blob of a layer is. */
export function remoteLayer(
	client: RegistryClient,
	reference: RegistryReference,
	{ digest, size }: Descriptor,
): RemoteLayer {
	/** Hosts that gave a wrong blob. */
	const avoid = new Set<string>();
	let attempts = 0;
	let stream: BlobStream | undefined;
	return {
		source: {
			from: "fetch",
			sizeBytes: size,
			open: async (signal) => {
				attempts += 1;
				stream = await client.openBlob(reference, { digest, size }, { signal, avoid });
				return stream;
			},
		},
		get member() {
			const hosts = [...(stream?.servedBy ?? [])].map((origin) => new URL(origin).host);
			return hosts.length === 0
				? digest
				: `${digest} from ${hosts.map((host) => escapePath(Buffer.from(host))).join(", ")}`;
		},
		again: ({ code }: LamellaError) => {
			const served = stream?.servedBy ?? new Set();
			if (!WRONG_BYTES.has(code) || served.size === 0 || attempts >= MAX_ATTEMPTS) return false;
			// The same host sent the same bytes twice: it has no others.
			if ([...served].every((origin) => avoid.has(origin))) return false;
			for (const origin of served) avoid.add(origin);
			return true;
		},
	};
}
