/** Where a registry is by its name alone: docker.io's real host, and which hosts are this machine. */
import net from "node:net";
import tls from "node:tls";

const DOCKER_HUB = "docker.io";
const DOCKER_HUB_HOST = "registry-1.docker.io";
/** How long to wait for a port of this machine to show whether it speaks TLS. */
const PROBE_MS = 3000;

/** The host to ask for a registry: itself, but for docker.io. */
export function hostOfRegistry(registry: string): string {
	return registry === DOCKER_HUB || registry === `index.${DOCKER_HUB}` ? DOCKER_HUB_HOST : registry;
}

/** Host and port of `host:port`, without the brackets of an IPv6 address. */
export function splitHostPort(host: string): { readonly hostname: string; readonly port: string } {
	const [, bracketed, plain = "", port = ""] = /^(?:\[(.*)\]|([^:]*))(?::(\d*))?$/.exec(host) ?? [];
	return { hostname: bracketed ?? plain, port };
}

const loopback = new net.BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/** Whether a host name (no port, no brackets) is this machine: `localhost`, 127.0.0.0/8, `::1`. */
export function isLoopback(hostname: string): boolean {
	if (hostname.toLowerCase() === "localhost") return true;
	const family = net.isIP(hostname);
	return family !== 0 && loopback.check(hostname, family === 6 ? "ipv6" : "ipv4");
}

/**
 * `https://host`, or `http://host` for a host of this machine that does not speak TLS: nothing else is ever spoken to in
 * plain text without being told to. docker and containerd try TLS first, too.
 */
export async function originOfRegistry(registry: string): Promise<string> {
	const host = hostOfRegistry(registry);
	const { hostname, port } = splitHostPort(host);
	const isPlain =
		isLoopback(hostname) && port !== "443" && (port === "80" || !(await speaksTls(hostname, port || "443")));
	return new URL(`${isPlain ? "http" : "https"}://${host}`).origin;
}

/** Nothing is sent but the hello; who answers with a certificate, whosever it is, speaks TLS. */
function speaksTls(hostname: string, port: string): Promise<boolean> {
	return new Promise((resolve) => {
		const socket = tls.connect({
			host: hostname,
			port: Number(port),
			servername: net.isIP(hostname) === 0 ? hostname : "",
			rejectUnauthorized: false,
			timeout: PROBE_MS,
		});
		const end = (answer: boolean): void => {
			socket.destroy();
			resolve(answer);
		};
		socket.once("secureConnect", () => end(true));
		socket.once("timeout", () => end(false));
		socket.on("error", (error: NodeJS.ErrnoException) => {
			// A server that wants a client's certificate may say so by an alert: that is TLS, too.
			end(/^ERR_SSL_.*ALERT/.test(error.code ?? ""));
		});
	});
}
