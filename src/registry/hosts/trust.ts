/**
 * The CAs that TLS trusts: those built into Node (and NODE_EXTRA_CA_CERTS), the system's, and those of one host.
 *
 * The system's are one file, as Go looks for it: SSL_CERT_FILE, else the first of the usual places, and all files of
 * SSL_CERT_DIR. Node's own reading of the system's store (tls.getCACertificates) opens each certificate twice on Debian, 44 ms
 * where this takes 1.
 */
import fs from "node:fs";
import path from "node:path";
import tls from "node:tls";
import { LamellaError } from "../../errors/index.ts";

/** Debian and Alpine; Fedora and RHEL; openSUSE; the rest. */
const BUNDLES = [
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/cert.pem",
];

/** One host's own settings: contents of PEM files, and whether any certificate will do. */
export interface HostTls {
	readonly authorities: readonly PemFile[];
	readonly clients: readonly { readonly certificate: PemFile; readonly key: PemFile }[];
	readonly skipVerify: boolean;
}

export interface PemFile {
	readonly path: string;
	readonly bytes: Buffer;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** What TLS trusts and shows, for tls.connect. @throws {LamellaError} `ECONFIG` naming the file that cannot be used */
export function secureContextOf(
	settings: HostTls,
	withClient: boolean,
	environment: Environment,
): tls.SecureContext {
	const clients = withClient ? settings.clients : [];
	for (const { certificate, key } of clients) checkPair(certificate, key);
	for (const file of settings.authorities) checkAuthority(file);
	const bundle = [...tls.getCACertificates("default"), ...systemAuthorities(environment)];
	return tls.createSecureContext({
		ca: [...bundle, ...settings.authorities.map(({ bytes }) => bytes)],
		cert: clients.map(({ certificate }) => certificate.bytes),
		key: clients.map(({ key }) => key.bytes),
	});
}

function checkPair(certificate: PemFile, key: PemFile): void {
	try {
		tls.createSecureContext({ cert: certificate.bytes, key: key.bytes });
	} catch (error) {
		throw new LamellaError(
			"ECONFIG",
			`${certificate.path} and ${key.path} are not a client's certificate and its key in PEM form: ${(error as Error).message}`,
			{ path: certificate.path, cause: error },
		);
	}
}

function checkAuthority({ path, bytes }: PemFile): void {
	try {
		if (!bytes.includes("-----BEGIN")) throw new Error("it has no BEGIN line");
		tls.createSecureContext({ ca: bytes });
	} catch (error) {
		throw new LamellaError(
			"ECONFIG",
			`${path} holds no CA certificate in PEM form: ${(error as Error).message}`,
			{ path, cause: error },
		);
	}
}

function systemAuthorities({ SSL_CERT_FILE, SSL_CERT_DIR }: Environment): readonly Buffer[] {
	const files = SSL_CERT_FILE ? [SSL_CERT_FILE] : BUNDLES.filter((file) => fs.existsSync(file)).slice(0, 1);
	const directories = (SSL_CERT_DIR ?? "").split(":").filter((directory) => directory !== "");
	for (const directory of directories) {
		// The variable may name a missing file; other programs accept that, too.
		const names = fs.existsSync(directory) ? fs.readdirSync(directory) : [];
		files.push(...names.map((name) => path.join(directory, name)));
	}
	return files.flatMap((file) => {
		const bytes = readIfFile(file);
		return bytes?.includes("-----BEGIN") ? [bytes] : [];
	});
}

/** Without a readable bundle the CAs of Node remain; where they are not enough, TLS says so. */
function readIfFile(file: string): Buffer | undefined {
	try {
		return fs.readFileSync(file);
	} catch {
		return undefined;
	}
}
