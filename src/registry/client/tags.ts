/** The lists of tags. Source: OCI distribution spec 1.1, "Content Discovery". */
import type { RegistryHost } from "../hosts/registry-host.ts";
import { type HttpAnswer, header } from "./exchange.ts";
import { type Asked, fieldOf, wrongAnswer } from "./failure.ts";

/** One page. @throws {RegistryError} `EREGISTRY` */
export function readTags(body: Buffer, host: string, asked: Asked): readonly string[] {
	let document: unknown;
	try {
		document = JSON.parse(body.toString("utf8"));
	} catch {
		throw wrongAnswer(host, asked, "it is not JSON");
	}
	// A repository whose last tag was deleted has null.
	const tags = fieldOf(document, "tags") ?? [];
	if (!Array.isArray(tags) || !tags.every((tag) => typeof tag === "string"))
		throw wrongAnswer(host, asked, "it has no list of tags");
	return tags;
}

/** Where the next page is, on the same host. @throws {RegistryError} `EREGISTRY` where it is said to be elsewhere */
export function nextPage(answer: HttpAnswer, host: RegistryHost, asked: Asked): URL | undefined {
	const link = header(answer, "link");
	const [, target] = /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec(link ?? "") ?? [];
	if (target === undefined) return undefined;
	const url = URL.canParse(target, answer.url.href) ? new URL(target, answer.url) : undefined;
	if (url === undefined || url.origin !== new URL(host.origin).origin)
		throw wrongAnswer(answer.host, asked, "its list of tags continues at another host");
	return url;
}
