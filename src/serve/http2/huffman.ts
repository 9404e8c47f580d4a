/** The Huffman code of header strings (RFC 7541, section 5.2 and appendix B). */

/** Symbols by the length of their code in bits, in order: within a length, codes count up. 256 is the end of a string. */
export const SYMBOLS: Readonly<Record<number, readonly number[]>> = {
	5: bytesOf("012aceiost"),
	6: bytesOf(" %-./3456789=A_bdfghlmnpru"),
	7: bytesOf(":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
	8: bytesOf("&*,;XZ"),
	10: bytesOf('!"()?'),
	11: bytesOf("'+|"),
	12: bytesOf("#>"),
	13: [0, ...bytesOf("$@[]~")],
	14: bytesOf("^}"),
	15: bytesOf("<`{"),
	19: [92, 195, 208],
	20: [128, 130, 131, 162, 184, 194, 224, 226],
	21: [153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230],
	22: [
		129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190,
		196, 198, 228, 232, 233,
	],
	23: [
		1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165, 166, 168, 174, 175,
		180, 182, 183, 188, 191, 197, 231, 239,
	],
	24: [9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237],
	25: [199, 207, 234, 235],
	26: [192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243, 255],
	27: [203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252, 253, 254],
	28: [
		2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 127, 220,
		249,
	],
	30: [10, 13, 22, 256],
};

const END_OF_STRING = 256;
const LEAF = 0x8000;
/** A node's two children stand side by side: the next node's place, or a symbol marked as a leaf. */
const TREE = treeOf(SYMBOLS);

/** Decodes `bytes`; undefined where they are not a whole string in this code. */
export function decodeHuffman(bytes: Uint8Array): string | undefined {
	let decoded = "";
	let node = 0;
	let bitsInCode = 0;
	let areOnes = true;
	for (const byte of bytes) {
		for (let bit = 7; bit >= 0; bit--) {
			const isOne = (byte >> bit) & 1;
			const next = TREE[node + isOne] ?? 0;
			if ((next & LEAF) === 0) {
				node = next;
				bitsInCode += 1;
				areOnes &&= isOne === 1;
				continue;
			}
			const symbol = next & ~LEAF;
			if (symbol === END_OF_STRING) return undefined;
			decoded += String.fromCharCode(symbol);
			node = 0;
			bitsInCode = 0;
			areOnes = true;
		}
	}
	// What fills up the last byte is the beginning of the end's code, which is all ones.
	return bitsInCode < 8 && areOnes ? decoded : undefined;
}

function bytesOf(text: string): readonly number[] {
	return [...Buffer.from(text, "latin1")];
}

function treeOf(symbols: Readonly<Record<number, readonly number[]>>): Uint16Array {
	const tree: number[] = [0, 0];
	let code = 0;
	let codeBits = 0;
	// Keys that are whole numbers come in order.
	for (const [length, ofLength] of Object.entries(symbols)) {
		code <<= Number(length) - codeBits;
		codeBits = Number(length);
		for (const symbol of ofLength) {
			let node = 0;
			for (let bit = codeBits - 1; bit > 0; bit--) {
				const at = node + ((code >>> bit) & 1);
				if (tree[at] === 0) {
					tree[at] = tree.length;
					tree.push(0, 0);
				}
				node = tree[at] ?? 0;
			}
			tree[node + (code & 1)] = symbol | LEAF;
			code += 1;
		}
	}
	return Uint16Array.from(tree);
}
