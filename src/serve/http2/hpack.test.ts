import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeHeaders, type HeaderField, HpackDecoder, HpackError } from "./hpack.ts";
import { HEADERS, Served } from "./testing/served.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

const GET: HeaderField[] = [
	[":method", "GET"],
	[":scheme", "http"],
	[":path", "/"],
	[":authority", "www.example.com"],
];
const REQUESTS: HeaderField[][] = [
	GET,
	[...GET, ["cache-control", "no-cache"]],
	[
		[":method", "GET"],
		[":scheme", "https"],
		[":path", "/index.html"],
		[":authority", "www.example.com"],
		["custom-key", "custom-value"],
	],
];

test.each([
	[
		"C.3",
		[
			"8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
			"8286 84be 5808 6e6f 2d63 6163 6865",
			"8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
		],
	],
	[
		"C.4",
		[
			"8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
			"8286 84be 5886 a8eb 1064 9cbf",
			"8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
		],
	],
])("decodes the requests of RFC 7541, %s", (_, blocks) => {
	const decoder = new HpackDecoder();
	expect(blocks.map((block) => decoder.decode(hex(block)))).toEqual(REQUESTS);
});

test("decodes RFC 7541, C.6, where a table of 256 bytes throws out its oldest", () => {
	const decoder = new HpackDecoder();
	const blocks = [
		"3fe1 01" +
			"4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718" +
			"63c7 8f0b 97c8 e9ae 82ae 43d3",
		"4883 640e ffc1 c0bf",
		"88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7" +
			"b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
	];
	const location: HeaderField = ["location", "https://www.example.com"];
	const date: HeaderField = ["date", "Mon, 21 Oct 2013 20:13:21 GMT"];
	expect(blocks.map((block) => decoder.decode(hex(block)))).toEqual([
		[[":status", "302"], ["cache-control", "private"], date, location],
		[[":status", "307"], ["cache-control", "private"], date, location],
		[
			[":status", "200"],
			["cache-control", "private"],
			["date", "Mon, 21 Oct 2013 20:13:22 GMT"],
			location,
			["content-encoding", "gzip"],
			["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"],
		],
	]);
	// Three are left in the table.
	expect(() => decoder.decode(hex("c1"))).toThrow(HpackError);
});

test("keeps the table's size: an entry that is too large empties it, and nothing empties it for good", () => {
	const decoder = new HpackDecoder();
	decoder.decode(hex("4001 6101 62"));
	expect(decoder.decode(hex("be"))).toEqual([["a", "b"]]);
	const large = Buffer.concat([hex("4001 637f e91f"), Buffer.alloc(0x7f + 0x69 + (0x1f << 7), "x")]);
	expect(decoder.decode(large)).toEqual([["c", "x".repeat(0x7f + 0x69 + (0x1f << 7))]]);
	expect(() => decoder.decode(hex("be"))).toThrow("no header has the index 62");
	decoder.decode(hex("20 4001 6101 62"));
	expect(() => decoder.decode(hex("be"))).toThrow(HpackError);
	// Twice at the beginning of a block is allowed.
	decoder.decode(hex("20 3fe11f 4001 6101 62"));
	expect(decoder.decode(hex("be"))).toEqual([["a", "b"]]);
	// A name of the table that its own entry throws out.
	decoder.decode(hex("3f04 7e01 63"));
	expect(decoder.decode(hex("be"))).toEqual([["a", "c"]]);
	expect(() => decoder.decode(hex("bf"))).toThrow(HpackError);
});

test.each([
	["index 0", "80"],
	["an index past the static table", "be"],
	["an index far past any table", "ff 80 80 80 01"],
	["a name's index past the table", "7e 01 61"],
	["a number that is too large", "ff ff ff ff ff ff ff ff ff ff 7f"],
	["a number that does not end", "ff ff"],
	["a length that does not end", "00 7f ff"],
	["a length that is too large", "00 7f ff ff ff ff 7f"],
	["a name past the end", "00 05 61 62"],
	["a value past the end", "00 01 61 02 62"],
	["no value", "00 01 61"],
	["no name", "40"],
	["more than seven bits of padding", "00 01 61 82 07 ff"],
	["padding that is not ones", "00 01 61 81 00"],
	["the end of a string in it", "00 01 61 84 ff ff ff ff"],
	["a table of more than 4096 bytes", "3f e2 1f"],
	["a table's size between fields", "82 20 84"],
	["a table's size after fields", "82 3f e1 1f"],
])("refuses a header block with %s", (_, block) => {
	expect(() => new HpackDecoder().decode(hex(block))).toThrow(HpackError);
});

test("decodes or refuses any bytes, and nothing else", () => {
	fc.assert(
		fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 }), (blocks) => {
			const decoder = new HpackDecoder();
			for (const block of blocks) {
				try {
					decoder.decode(Buffer.from(block));
				} catch (error) {
					expect(error).toBeInstanceOf(HpackError);
				}
			}
		}),
		{ numRuns: 1000 },
	);
});

const latin1 = (options: fc.IntArrayConstraints): fc.Arbitrary<string> =>
	fc.uint8Array(options).map((bytes) => Buffer.from(bytes).toString("latin1"));

test("what is encoded is read back", () => {
	fc.assert(
		fc.property(
			fc.array(fc.tuple(latin1({ maxLength: 20 }), latin1({ maxLength: 300 })), { maxLength: 10 }),
			(fields) => {
				expect(new HpackDecoder().decode(encodeHeaders(fields))).toEqual(fields);
			},
		),
	);
	for (const length of [0, 1, 126, 127, 128, 254, 255, 256, 300, 16_383, 16_511, 16_512, 20_000]) {
		const fields: HeaderField[] = [["x".repeat(length), "y".repeat(length)]];
		expect(new HpackDecoder().decode(encodeHeaders(fields))).toEqual(fields);
	}
});

test("understands an encoder with a table and a Huffman code, over many requests on a connection", async () => {
	await using served = await Served.start((stream) => {
		stream.onRequest = () => stream.respond(HEADERS, { end: true });
	});
	const session = http2.connect("http://localhost", { createConnection: () => net.connect(served.path) });
	try {
		const token = fc.string({
			unit: fc.constantFrom(..."!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"),
			maxLength: 30,
		});
		// A few names come again and again, some values too; all bytes a value may have, and some very long.
		const name = fc.oneof(
			fc.constantFrom("x-a", "x-b", "x-c"),
			token.map((text) => `x-${text}`),
		);
		const byte = fc.integer({ min: 1, max: 255 }).filter((value) => value !== 10 && value !== 13);
		const bytes = fc.array(byte, { maxLength: 200 }).map((all) => Buffer.from(all).toString("latin1"));
		const value = fc.oneof(
			fc.constantFrom("", "1", "same", "x".repeat(3000), "\xff".repeat(300)),
			{ weight: 3, arbitrary: bytes },
			{ weight: 3, arbitrary: fc.string({ maxLength: 60, unit: "grapheme-ascii" }) },
			bytes.map((text) => text.repeat(20)),
		);
		const fields = fc.uniqueArray(fc.tuple(name, value, fc.boolean()), {
			selector: ([key]) => key,
			maxLength: 8,
		});
		await fc.assert(
			fc.asyncProperty(fields, async (list) => {
				const sent: http2.OutgoingHttpHeaders = { ":method": "POST", ":path": "/any" };
				for (const [key, text] of list) sent[key] = text;
				sent[http2.sensitiveHeaders as unknown as string] = list
					.filter(([, , isSensitive]) => isSensitive)
					.map(([key]) => key);
				const stream = session.request(sent, { endStream: true });
				stream.resume();
				await once(stream, "close");
				const seen = served.streams.at(-1)?.headers;
				for (const [key, text] of list) expect(seen?.get(key)).toBe(text);
				expect(seen?.get(":path")).toBe("/any");
			}),
			{ numRuns: 200 },
		);
		const long = session.request({ ":method": "POST", "x-long": "\xe9".repeat(40_000) }, { endStream: true });
		long.resume();
		await once(long, "close");
		expect(served.streams.at(-1)?.headers.get("x-long")).toBe("\xe9".repeat(40_000));
		// Every byte by itself, alone and repeated, in the code or not as the encoder likes.
		const all = Array.from({ length: 255 }, (_, i) => i + 1).filter((code) => code !== 10 && code !== 13);
		for (let at = 0; at < all.length; at += 32) {
			const some = all.slice(at, at + 32).map((code) => [`x-${code}`, String.fromCharCode(code)] as const);
			const mixed = some.map(([key, char]) => [key, `aaaaaaaaaaaaaaaaaaaaaaaa${char}e`] as const);
			for (const list of [some, mixed]) {
				const stream = session.request(
					{ ":method": "POST", ...Object.fromEntries(list) },
					{ endStream: true },
				);
				stream.resume();
				await once(stream, "close");
				for (const [key, text] of list) expect(served.streams.at(-1)?.headers.get(key)).toBe(text);
			}
		}
		expect(served.broken).toEqual([]);
		expect(served.connections).toHaveLength(1);
	} finally {
		session.destroy();
	}
});
