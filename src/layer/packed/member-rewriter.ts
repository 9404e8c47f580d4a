/** Writes the members of a layer's tar into another one: with owners mapped, without holes, or both. */
import { isLamellaError } from "../../errors/index.ts";
import type { IdMaps } from "../../idmap/index.ts";
import type { TarEntry, TarHandler, TarWriter } from "../../tar/index.ts";
import { entryMeaning } from "../apply/entry-meaning.ts";
import { OwnerMapper } from "../apply/entry-owner.ts";

const ZEROS = Buffer.alloc(64 << 10);

export interface RewriterOptions {
	/** The maps by which the tar's owners were brought to the host's, and those by which they go to another container's. */
	readonly idMaps?: { readonly from: IdMaps | undefined; readonly to: IdMaps | undefined } | undefined;
	readonly expandHoles: boolean;
}

export class MemberRewriter implements TarHandler {
	readonly #writer: TarWriter;
	readonly #owners: { readonly toHost: OwnerMapper; readonly toContainer: OwnerMapper } | undefined;
	readonly #expandHoles: boolean;
	#entry: TarEntry | undefined;
	/** Bytes of the member's content that were written. */
	#written = 0;

	constructor(writer: TarWriter, { idMaps, expandHoles }: RewriterOptions) {
		this.#writer = writer;
		this.#expandHoles = expandHoles;
		if (idMaps === undefined) return;
		this.#owners = {
			toHost: new OwnerMapper(idMaps.from),
			toContainer: new OwnerMapper(idMaps.to, "to container"),
		};
	}

	/** @throws {LamellaError} `EINVALID` for an owner that the maps do not cover */
	entry(entry: TarEntry): void {
		const owned = this.#withOwners(entry);
		this.#entry = this.#expandHoles ? { ...owned, dataExtents: undefined } : owned;
		this.#written = 0;
		this.#writer.entry(this.#entry);
	}

	data(chunk: Uint8Array, offset: number): void {
		if (this.#entry?.dataExtents === undefined) this.#fill(offset);
		this.#writer.data(chunk);
		this.#written += chunk.length;
	}

	entryEnd(): void {
		if (this.#entry?.dataExtents === undefined) this.#fill(this.#entry?.sizeBytes ?? 0);
		this.#writer.entryEnd();
	}

	/** Zeros for a hole that ends at `offset` of the file. */
	#fill(offset: number): void {
		while (this.#written < offset) {
			const zeros = ZEROS.subarray(0, Math.min(ZEROS.length, offset - this.#written));
			this.#writer.data(zeros);
			this.#written += zeros.length;
		}
	}

	#withOwners(entry: TarEntry): TarEntry {
		if (this.#owners === undefined) return entry;
		const { is } = entryMeaning(entry, () => "");
		// Nobody applies the owner of a mark.
		if (is !== "member" && is !== "root") return entry;
		const { toHost, toContainer } = this.#owners;
		const uid = (id: number): number => toContainer.uid(toHost.uid(id));
		const gid = (id: number): number => toContainer.gid(toHost.gid(id));
		// Names are those of the container that the layer was made for.
		const nameless = { ...entry, uname: undefined, gname: undefined };
		if (entry.type === "hardlink") {
			// What a link says of itself was never looked at, so it need not make sense.
			return { ...nameless, uid: orRoot(() => uid(entry.uid)), gid: orRoot(() => gid(entry.gid)) };
		}
		const xattrs = entry.xattrs.map(({ name, value }) => {
			const text = name.toString("latin1");
			return { name, value: toContainer.xattrValue(text, toHost.xattrValue(text, value)) };
		});
		return { ...nameless, uid: uid(entry.uid), gid: gid(entry.gid), xattrs };
	}
}

function orRoot(map: () => number): number {
	try {
		return map();
	} catch (error) {
		if (!isLamellaError(error, "EINVALID")) throw error;
		return 0;
	}
}
