/**
 * Which proxy a request goes through, by HTTP_PROXY, HTTPS_PROXY and NO_PROXY (in small letters, too), read as Go's
 * httpproxy package reads them, since docker, containerd and skopeo do. Hosts of this machine never have one.
 */
import net from "node:net";
import { LamellaError } from "../../errors/index.ts";
import { isLoopback } from "./registry-address.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws {LamellaError} `ECONFIG` where the variable holds no proxy's address */
export function proxyFor(origin: string, environment: Environment): URL | undefined {
	const { protocol, hostname: written, port } = new URL(origin);
	const name = protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
	const value = variable(environment, name);
	if (value === undefined) return undefined;
	const hostname = written.replace(/^\[|\]$/g, "");
	if (isLoopback(hostname)) return undefined;
	const isExcepted = noProxyRules(variable(environment, "NO_PROXY") ?? "").some((matches) =>
		matches(hostname, port || (protocol === "https:" ? "443" : "80")),
	);
	return isExcepted ? undefined : parseProxy(value, name);
}

function variable(environment: Environment, name: string): string | undefined {
	return environment[name] || environment[name.toLowerCase()] || undefined;
}

function parseProxy(value: string, name: string): URL {
	const url = URL.parse(value.includes("://") ? value : `http://${value}`);
	if (url !== null && ["http:", "https:", "socks5:"].includes(url.protocol) && url.hostname !== "")
		return url;
	// The value may hold a password.
	throw new LamellaError(
		"ECONFIG",
		`the variable ${name} is not the address of a proxy; write it like http://proxy.example:3128 (https and socks5 are known, too)`,
	);
}

type Rule = (hostname: string, port: string) => boolean;

/** The rules of a NO_PROXY: `*`, `name` (with all below it), `.name` (only below it), an address, a network; each perhaps with a port. */
function noProxyRules(text: string): readonly Rule[] {
	const words = text.split(/[\s,]+/).filter((word) => word !== "");
	return words.map((word) => noProxyRule(word.toLowerCase()));
}

function noProxyRule(word: string): Rule {
	if (word === "*") return () => true;
	const [, network = "", bits] = /^(.+)\/(\d+)$/.exec(word) ?? [];
	const family = net.isIP(network);
	if (family !== 0) return networkRule(network, Number(bits), family);
	const [, bracketed, plain = "", port] = /^(?:\[(.*)\]|(.*?))(?::(\d+))?$/.exec(word) ?? [];
	const name = net.isIP(word) === 6 ? word : (bracketed ?? plain);
	const ownPort = net.isIP(word) === 6 ? undefined : port;
	const matches = net.isIP(name) === 0 ? nameRule(name) : (hostname: string) => sameAddress(hostname, name);
	return (hostname, askedPort) =>
		(ownPort === undefined || ownPort === askedPort) && matches(hostname.toLowerCase());
}

function nameRule(name: string): (hostname: string) => boolean {
	const below = name.replace(/^\*?\.?/, ".");
	return (hostname) => hostname.endsWith(below) || (below.slice(1) === name && hostname === name);
}

function sameAddress(hostname: string, address: string): boolean {
	const family = net.isIP(hostname);
	if (family === 0 || family !== net.isIP(address)) return false;
	const list = new net.BlockList();
	list.addAddress(address, family === 6 ? "ipv6" : "ipv4");
	return list.check(hostname, family === 6 ? "ipv6" : "ipv4");
}

function networkRule(network: string, bits: number, family: number): Rule {
	const type = family === 6 ? "ipv6" : "ipv4";
	// A malformed network matches nothing, as with Go.
	if (bits > (family === 6 ? 128 : 32)) return () => false;
	const list = new net.BlockList();
	list.addSubnet(network, bits, type);
	return (hostname) => net.isIP(hostname) === family && list.check(hostname, type);
}
