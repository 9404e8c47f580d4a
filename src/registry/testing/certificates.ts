/** Certificates for tests, made by openssl: a CA, and what it signs. */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

export interface KeyPair {
	readonly certificate: string;
	readonly key: string;
}

/** A CA of its own in files of `directory`. */
export function makeAuthority(directory: string, name = "ca"): KeyPair {
	const pair = pairIn(directory, name);
	openssl("req", "-x509", "-subj", `/CN=${name}`, "-days", "2", ...newKey(pair), "-out", pair.certificate);
	return pair;
}

/** A certificate for this machine's own names, or for a client. */
export function makeCertificate(directory: string, name: string, authority: KeyPair): KeyPair {
	const pair = pairIn(directory, name);
	const request = path.join(directory, `${name}.csr`);
	const extensions = path.join(directory, `${name}.ext`);
	openssl("req", "-subj", `/CN=${name}`, ...newKey(pair), "-out", request);
	fs.writeFileSync(extensions, "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
	openssl(
		...["x509", "-req", "-in", request, "-out", pair.certificate, "-days", "2", "-extfile", extensions],
		...["-CA", authority.certificate, "-CAkey", authority.key, "-CAcreateserial"],
	);
	return pair;
}

function pairIn(directory: string, name: string): KeyPair {
	return { certificate: path.join(directory, `${name}.pem`), key: path.join(directory, `${name}-key.pem`) };
}

function newKey({ key }: KeyPair): readonly string[] {
	return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key];
}

function openssl(...words: readonly string[]): void {
	execFileSync("openssl", words, { stdio: ["ignore", "ignore", "pipe"] });
}
