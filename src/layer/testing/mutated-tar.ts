/** For tests: a tar with some bytes changed, most of them so that its headers are taken for right all the same. */
import fc from "fast-check";

const BLOCK_BYTES = 512;
const CHECKSUM_AT = 148;
const CHECKSUM_BYTES = 8;
const MAGIC_AT = 257;

export interface Mutation {
	/** Which block, modulo how many there are (of headers, where `inHeader`). */
	readonly block: number;
	readonly inHeader: boolean;
	readonly at: number;
	readonly byte: number;
}

export function randomMutations(maxLength = 6): fc.Arbitrary<readonly Mutation[]> {
	return fc.array(
		fc.record({
			block: fc.nat({ max: 9999 }),
			inHeader: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, fc.constant(false)),
			// Past the fields there are only zeros.
			at: fc.oneof({ weight: 6, arbitrary: fc.nat({ max: 344 }) }, fc.nat({ max: 511 })),
			byte: fc.oneof(
				{ weight: 5, arbitrary: fc.integer({ min: 0x30, max: 0x37 }) },
				{
					weight: 2,
					arbitrary: fc.constantFrom(0, 0x20, 0x2e, 0x2f, 0x80, 0xff, 0x53, 0x78, 0x4c, 0x4b, 0x67),
				},
				fc.nat({ max: 255 }),
			),
		}),
		{ maxLength },
	);
}

export function mutate(tar: Buffer, mutations: readonly Mutation[]): Buffer {
	const mutated = Buffer.from(tar);
	const blocks = Array.from({ length: tar.length / BLOCK_BYTES }, (_, i) => i * BLOCK_BYTES);
	const headers = blocks.filter((at) => tar.toString("latin1", at + MAGIC_AT, at + MAGIC_AT + 5) === "ustar");
	for (const { block, inHeader, at, byte } of mutations) {
		const among = inHeader && headers.length > 0 ? headers : blocks;
		const start = among[block % among.length] ?? 0;
		mutated[start + at] = byte;
		const inChecksum = at >= CHECKSUM_AT && at < CHECKSUM_AT + CHECKSUM_BYTES;
		if (headers.includes(start) && !inChecksum) writeChecksum(mutated, start);
	}
	return mutated;
}

function writeChecksum(tar: Buffer, start: number): void {
	tar.fill(0x20, start + CHECKSUM_AT, start + CHECKSUM_AT + CHECKSUM_BYTES);
	const sum = tar.subarray(start, start + BLOCK_BYTES).reduce((total, byte) => total + byte, 0);
	tar.write(`${sum.toString(8).padStart(6, "0")}\0 `, start + CHECKSUM_AT, "latin1");
}
