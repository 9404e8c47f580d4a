/**
 * Writes PAX records: what of an entry does not fit its ustar block, in a fixed order, so that equal entries
 * give equal bytes.
 */
import type { Xattr } from "./entry.ts";

/** Gathers the records of one extended header in a buffer that is reused for the next. */
export class PaxRecords {
	#buffer: Buffer = Buffer.allocUnsafe(4096);
	#length = 0;

	get length(): number {
		return this.#length;
	}

	/** The records; a view that the next `clear` and `add` overwrite. */
	get bytes(): Buffer {
		return this.#buffer.subarray(0, this.#length);
	}

	clear(): void {
		this.#length = 0;
	}

	/** Adds "LENGTH KEYWORD=VALUE\n". The keyword's characters are taken as bytes (Latin-1). */
	add(keyword: string, value: string | Uint8Array): void {
		const rest = keyword.length + value.length + 3;
		let length = rest + String(rest).length;
		// The length counts its own digits, which may make it a digit longer.
		if (String(length).length > String(rest).length) length = rest + String(length).length;
		this.#reserve(length);
		const head = `${length} ${keyword}=`;
		this.#length += this.#buffer.write(head, this.#length, "latin1");
		if (typeof value === "string") this.#length += this.#buffer.write(value, this.#length, "latin1");
		else {
			this.#buffer.set(value, this.#length);
			this.#length += value.length;
		}
		this.#buffer[this.#length++] = 0x0a;
	}

	addXattr({ name, value }: Xattr): void {
		this.add(`SCHILY.xattr.${encodeName(name)}`, value);
	}

	#reserve(bytes: number): void {
		if (this.#length + bytes <= this.#buffer.length) return;
		const larger = Buffer.allocUnsafe(Math.max(2 * this.#buffer.length, this.#length + bytes));
		larger.set(this.bytes);
		this.#buffer = larger;
	}
}

/** As GNU tar: a keyword ends at the first `=`. */
function encodeName(name: Buffer): string {
	const keyword = name.toString("latin1");
	return /[%=]/.test(keyword) ? keyword.replaceAll("%", "%25").replaceAll("=", "%3D") : keyword;
}

/** Seconds with up to nine digits behind the point, none of them in vain: "-0.5", "12". */
export function formatTime(timeNs: bigint): string {
	const negative = timeNs < 0n;
	const absolute = negative ? -timeNs : timeNs;
	const seconds = absolute / 1_000_000_000n;
	const nanoseconds = absolute % 1_000_000_000n;
	const fraction = nanoseconds === 0n ? "" : `.${String(nanoseconds).padStart(9, "0").replace(/0+$/, "")}`;
	return `${negative ? "-" : ""}${seconds}${fraction}`;
}
