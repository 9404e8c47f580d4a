import { describe, expect, test } from "vitest";
import { SUPERBLOCK } from "./format.ts";
import { FileTree, imageHeadBytes, readDevices, readImage, verifyImage, writeImage } from "./index.ts";
import { seal } from "./seal.ts";
import { codeOf } from "./testing/code-of.ts";
import { Random } from "./testing/random.ts";
import { makeRandomTree } from "./testing/random-tree.ts";
import { differences, readTree } from "./testing/read-tree.ts";

const IS_LONG = process.env.LAMELLA_TEST_LONG === "1";
const SEEDS = IS_LONG ? 2000 : 100;
const TIMEOUT_MS = IS_LONG ? 3_600_000 : 60_000;
const MUTATIONS = IS_LONG ? 40_000 : 2000;

describe("an image that was written", () => {
	test(
		`reads back as the tree that it was made of, for ${SEEDS} random trees`,
		() => {
			for (let seed = 0; seed < SEEDS; seed++) {
				const { contents, devices, expected, tree } = makeRandomTree(seed);
				const image = writeImage(tree, { devices });
				verifyImage(image);
				expect({ seed, differences: differences(readTree(image, contents), expected) }).toEqual({
					seed,
					differences: [],
				});
			}
		},
		TIMEOUT_MS,
	);

	test("tells its devices, in order, from its first bytes", () => {
		const devices = Array.from({ length: 100 }, (_, n) => ({
			tag: n.toString(16).padStart(64, "0"),
			sizeBytes: n * 512,
		}));
		const image = writeImage(new FileTree(), { devices });
		const head = (count: number): Uint8Array => image.subarray(0, imageHeadBytes(count));
		expect(readDevices(head(100), image.length)).toEqual(devices);
		expect(() => readDevices(head(99), image.length)).toThrow("table of its 100 devices");
		expect(() => readDevices(head(100), image.length - 512)).toThrow("bytes, but states");
	});
});

describe("an image that was altered", () => {
	const { devices, tree } = makeRandomTree(6);
	const good = Buffer.from(writeImage(tree, { devices }));

	test("does not fit its uuid, whichever byte it is", () => {
		const random = new Random(1);
		for (let n = 0; n < 500; n++) {
			const image = Buffer.from(good);
			const at = random.below(image.length);
			image[at] = (image[at] ?? 0) ^ (1 << random.below(8));
			expect(codeOf(() => verifyImage(image))).toBe("ECORRUPT");
		}
	});

	test("is refused at a mount where the superblock or one of the first devices is another", () => {
		for (let at = SUPERBLOCK.offset; at < imageHeadBytes(0); at++) {
			const image = Buffer.from(good);
			image[at] = (image[at] ?? 0) ^ 1;
			expect(codeOf(() => readDevices(image, image.length))).toBe("ECORRUPT");
		}
	});

	test("is refused where it is cut short, at every length", () => {
		for (let length = 0; length < good.length; length += 61) {
			expect(codeOf(() => readAll(good.subarray(0, length)))).toBe("ECORRUPT");
		}
	});

	test(
		`is read or refused, and nothing else, for ${MUTATIONS} alterations under a right checksum`,
		() => {
			const random = new Random(2);
			let refused = 0;
			for (let n = 0; n < MUTATIONS; n++) {
				const image = n % 50 === 0 ? freshImage(random) : Buffer.from(good);
				for (let times = 1 + random.below(4); times > 0; times--) mutate(image, random);
				seal(image);
				if (codeOf(() => readAll(image)) === "ECORRUPT") refused++;
			}
			expect(refused).toBeGreaterThan(MUTATIONS / 4);
		},
		TIMEOUT_MS,
	);
});

function freshImage(random: Random): Buffer {
	const { devices, tree } = makeRandomTree(random.below(1000));
	return Buffer.from(writeImage(tree, { devices }));
}

function mutate(image: Buffer, random: Random): void {
	// Not the magic number: what is behind it is to be tried.
	const from = random.once(4) ? SUPERBLOCK.offset + 4 : imageHeadBytes(0);
	const at = from + random.below(image.length - from);
	switch (random.below(5)) {
		case 0:
			image[at] = random.below(256);
			break;
		case 1:
			image[at] = (image[at] ?? 0) ^ (1 << random.below(8));
			break;
		case 2:
			image.fill(random.pick([0, 0xff]), at, Math.min(image.length, at + 1 + random.below(8)));
			break;
		case 3:
			// A number where numbers are.
			image.writeUInt32LE(random.pick([0, 1, 0x7fffffff, 0xffffffff, random.below(2000)]), (at & ~3) - 4);
			break;
		default:
			image.copyWithin(at, random.below(image.length), random.below(image.length));
	}
}

function readAll(image: Uint8Array): void {
	for (const entry of readImage(image)) expect(entry.name.length).toBeLessThanOrEqual(255);
}
