/** Reads the whole body of an answer that is a document: never more than a limit, and without an encoding that a proxy put on it. */
import { promisify } from "node:util";
import zlib from "node:zlib";
import { type HttpAnswer, header } from "./exchange.ts";
import { type Asked, brokenConnection, quotedText, wrongAnswer } from "./failure.ts";

type Decode = (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>;

const DECODERS: Readonly<Record<string, Decode>> = {
	gzip: promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gunzip),
	"x-gzip": promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gunzip),
	deflate: promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.inflate),
	br: promisify<Buffer, zlib.BrotliOptions, Buffer>(zlib.brotliDecompress),
};

/** @throws {RegistryError} `ENETWORK`, `EREGISTRY` (too long, of another length than was said, an encoding that is wrong) */
export async function readBody(answer: HttpAnswer, maxBytes: number, asked: Asked): Promise<Buffer> {
	const { host, body } = answer;
	const tooLong = `it is longer than ${maxBytes} bytes`;
	const chunks: Buffer[] = [];
	let length = 0;
	try {
		for await (const chunk of body as AsyncIterable<Buffer>) {
			length += chunk.length;
			if (length > maxBytes) throw wrongAnswer(host, asked, tooLong);
			chunks.push(chunk);
		}
	} catch (error) {
		throw brokenConnection(error, host, asked, { wasReached: true, doneBytes: length });
	}
	const bytes = Buffer.concat(chunks);
	const encoding = header(answer, "content-encoding")?.trim().toLowerCase() ?? "";
	if (encoding === "" || encoding === "identity") return bytes;
	const decode = DECODERS[encoding];
	if (decode === undefined)
		throw wrongAnswer(host, asked, `it is in the encoding ${quotedText(encoding)}, which was not asked for`);
	try {
		return await decode(bytes, { maxOutputLength: maxBytes });
	} catch (error) {
		const isTooLong = error instanceof Error && Reflect.get(error, "code") === "ERR_BUFFER_TOO_LARGE";
		throw wrongAnswer(
			host,
			asked,
			isTooLong ? tooLong : `its header says that it is in the encoding ${encoding}, and it is not`,
		);
	}
}
