/**
 * Debian's docker-registry (2.8) with storage of its own on a free port of this machine: plain, with TLS, with a password,
 * or behind a token server.
 */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import path from "node:path";
import type { KeyPair } from "../../../src/registry/testing/certificates.ts";
import { Daemon, run } from "../processes.ts";
import { Service } from "../service.ts";
import { freePort } from "./servers.ts";

export interface Login {
	readonly username: string;
	readonly password: string;
}

export interface TokenAuth {
	/** Where a client asks for tokens. */
	readonly realm: string;
	readonly service: string;
	readonly issuer: string;
	/** The certificate whose key signs them. */
	readonly certificate: string;
}

export interface DockerRegistryOptions {
	readonly tls?: KeyPair | undefined;
	/** The one who may enter. */
	readonly login?: Login | undefined;
	readonly token?: TokenAuth | undefined;
	/** Where everything of it is made (default: a temporary directory). */
	readonly home?: string | undefined;
}

export class DockerRegistry extends Service {
	readonly port: number;
	/** `127.0.0.1:port`, as it stands in references. */
	readonly host: string;
	readonly origin: string;
	readonly #config: string;

	private constructor(port: number, { tls, login, token, home }: DockerRegistryOptions) {
		super(home);
		this.port = port;
		this.host = `127.0.0.1:${port}`;
		this.origin = `${tls === undefined ? "http" : "https"}://${this.host}`;
		this.#config = path.join(this.home, "config.yml");
		const htpasswd = path.join(this.home, "htpasswd");
		if (login !== undefined)
			writeFileSync(htpasswd, `${login.username}:${bcrypt(login.password)}\n`, { mode: 0o600 });
		const config = {
			version: "0.1",
			log: { level: "warn", accesslog: { disabled: true } },
			storage: { filesystem: { rootdirectory: path.join(this.home, "data") }, delete: { enabled: true } },
			http: {
				addr: this.host,
				secret: randomBytes(16).toString("hex"),
				...(tls && { tls: { certificate: tls.certificate, key: tls.key } }),
			},
			...(login && { auth: { htpasswd: { realm: "lamella tests", path: htpasswd } } }),
			...(token && {
				auth: {
					token: {
						realm: token.realm,
						service: token.service,
						issuer: token.issuer,
						rootcertbundle: token.certificate,
					},
				},
			}),
		};
		// JSON is YAML.
		writeFileSync(this.#config, JSON.stringify(config));
	}

	static async start(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
		return new DockerRegistry(await freePort(), options).started();
	}

	protected spawn(): Daemon {
		const logFile = path.join(this.home, "registry.log");
		return new Daemon("/usr/bin/docker-registry", ["serve", this.#config], { logFile });
	}

	protected answers(): Promise<boolean> {
		return accepts(this.port);
	}
}

function accepts(port: number): Promise<boolean> {
	return new Promise((resolve) => {
		const socket = connect(port, "127.0.0.1");
		socket.once("connect", () => {
			socket.destroy();
			resolve(true);
		});
		socket.once("error", () => resolve(false));
	});
}

/** The registry takes no other form. By perl's crypt(3), which every Debian has. */
function bcrypt(password: string): string {
	const program = "print crypt($ARGV[0], q($2b$05$lamellalamellalamellau))";
	return run("perl", ["-e", program, "--", password]).stdout;
}
