/**
 * A file of credentials: docker's `config.json` or podman's `auth.json`, which have one form. Reads what it says of a host,
 * and changes one entry while everything else stays as it is. Source: docker cli/config/configfile, containers-auth.json(5).
 */
import fs from "node:fs";
import path from "node:path";
import * as v from "valibot";
import { LamellaError } from "../../errors/index.ts";
import { flock, LOCK_EX } from "../../linux/index.ts";
import type { Credentials } from "./contract.ts";
import { dockerKeyOf, isKeyOfHost, scopedKeys } from "./keys.ts";

interface Entry {
	readonly auth?: string | undefined;
	readonly username?: string | undefined;
	readonly password?: string | undefined;
	readonly identitytoken?: string | undefined;
	readonly registrytoken?: string | undefined;
}

/** The known part of the file's form; everything else in the file is kept. */
export interface AuthFile {
	readonly auths?: Readonly<Record<string, Entry>> | null | undefined;
	readonly credHelpers?: Readonly<Record<string, string>> | null | undefined;
	readonly credsStore?: string | undefined;
}

const text = v.optional(v.string());
const entrySchema = v.looseObject({
	auth: text,
	username: text,
	password: text,
	identitytoken: text,
	registrytoken: text,
});
const fileSchema = v.looseObject({
	auths: v.nullish(v.record(v.string(), entrySchema)),
	credHelpers: v.nullish(v.record(v.string(), v.string())),
	credsStore: text,
});

/** Undefined where there is no such file. @throws {LamellaError} `ECONFIG`: without a word of what is in it */
export function readAuthFile(file: string): AuthFile | undefined {
	let text: string;
	try {
		text = fs.readFileSync(file, "utf8");
	} catch (error) {
		if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
		throw new LamellaError("ECONFIG", `cannot read the credentials in ${file}: ${(error as Error).message}`, {
			path: file,
			cause: error,
		});
	}
	if (text.trim() === "") return {};
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch {
		// What JSON.parse says quotes the text, secrets and all.
		throw wrong(file, "it is not JSON");
	}
	const result = v.safeParse(fileSchema, value);
	if (result.success) return result.output;
	const [issue] = result.issues;
	throw wrong(file, `"${v.getDotPath(issue) ?? ""}" has to be ${issue.expected ?? "something else"}`);
}

/** What `auths` has for a host; for a part of it, where there is such an entry. @throws {LamellaError} `ECONFIG` */
export function entryFor(
	file: string,
	{ auths }: AuthFile,
	host: string,
	repository: string | undefined,
): Credentials | undefined {
	const entries = auths ?? {};
	const scoped = scopedKeys(host, repository).find((key) => entries[key] !== undefined);
	const own = Object.keys(entries).filter((key) => isKeyOfHost(key, host));
	// Where several spellings stand for one host, docker's own goes first.
	own.sort((a, b) => Number(b === dockerKeyOf(host)) - Number(a === dockerKeyOf(host)));
	for (const key of scoped === undefined ? own : [scoped, ...own]) {
		const found = credentialsOf(file, key, entries[key] ?? {});
		if (found !== undefined) return found;
	}
	return undefined;
}

/** Undefined for an entry that says nothing: docker writes one where the secret is in a helper. */
function credentialsOf(file: string, key: string, entry: Entry): Credentials | undefined {
	const { auth, registrytoken, identitytoken } = entry;
	if (registrytoken) return { registryToken: registrytoken };
	const decoded = auth ? decodeAuth(file, key, auth) : undefined;
	const username = decoded?.username ?? entry.username;
	if (identitytoken) return { identityToken: identitytoken, username };
	if (decoded !== undefined) return decoded;
	if (!username || entry.password === undefined) return undefined;
	return { username, password: entry.password };
}

function decodeAuth(file: string, key: string, auth: string): { username: string; password: string } {
	const text = Buffer.from(auth, "base64").toString("utf8");
	const colon = text.indexOf(":");
	if (colon <= 0)
		throw wrong(file, `"auths.${key}.auth" is not the base64 form of a name, a colon and a password`);
	// Old versions of docker filled it up with zeros.
	return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, "") };
}

/** The entry of `auths` for credentials. */
export function entryOf(credentials: Credentials): Entry {
	if ("registryToken" in credentials) return { registrytoken: credentials.registryToken };
	if ("identityToken" in credentials) {
		const auth = Buffer.from(`${credentials.username ?? ""}:`).toString("base64");
		return { ...(credentials.username && { auth }), identitytoken: credentials.identityToken };
	}
	return { auth: Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64") };
}

/**
 * Changes `auths`: the entries of a host in any spelling go, and `entry` comes, under docker's key. The file is replaced
 * whole, is its owner's alone (0600), and keeps what else is in it. One process at a time does so, by a lock on the directory.
 * @returns whether there were entries of the host before
 * @throws {LamellaError} `ECONFIG`
 */
export function replaceEntry(file: string, host: string, entry: Entry | undefined): boolean {
	// docker's file is a link in some homes; what it leads to is what is replaced.
	const real = fs.existsSync(file) ? fs.realpathSync(file) : file;
	const directory = path.dirname(real);
	try {
		if (entry !== undefined) fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
		else if (!fs.existsSync(directory)) return false;
		const lock = fs.openSync(directory, "r");
		try {
			flock(lock, LOCK_EX);
			return replaceLocked(real, host, entry);
		} finally {
			fs.closeSync(lock);
		}
	} catch (error) {
		if (error instanceof LamellaError) throw error;
		throw new LamellaError(
			"ECONFIG",
			`cannot write the credentials to ${file}: ${(error as Error).message}`,
			{
				path: file,
				cause: error,
			},
		);
	}
}

function replaceLocked(file: string, host: string, entry: Entry | undefined): boolean {
	const before = readAuthFile(file);
	const auths: Record<string, Entry> = { ...before?.auths };
	const old = Object.keys(auths).filter((key) => isKeyOfHost(key, host));
	if (entry === undefined && old.length === 0) return false;
	for (const key of old) delete auths[key];
	if (entry !== undefined) auths[dockerKeyOf(host)] = entry;
	const aside = path.join(path.dirname(file), `.${path.basename(file)}.lamella`);
	// One that was killed may have left it; the lock is ours now.
	fs.rmSync(aside, { force: true });
	try {
		const content = `${JSON.stringify({ ...before, auths }, undefined, "\t")}\n`;
		fs.writeFileSync(aside, content, { mode: 0o600, flag: "wx", flush: true });
		if (before !== undefined) keepOwner(file, aside);
		fs.renameSync(aside, file);
	} catch (error) {
		fs.rmSync(aside, { force: true });
		throw error;
	}
	return old.length > 0;
}

/** With sudo the file may be another user's, who still has to be able to read it. */
function keepOwner(file: string, aside: string): void {
	const { uid, gid } = fs.statSync(file);
	if (uid !== process.geteuid?.()) fs.chownSync(aside, uid, gid);
}

function wrong(file: string, problem: string): LamellaError {
	return new LamellaError("ECONFIG", `the credentials in ${file} cannot be used: ${problem}`, { path: file });
}
