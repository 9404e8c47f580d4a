import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { request } from "undici";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type HostOptions, type Hosts, openHosts, type RegistryHost } from "../index.ts";
import { type KeyPair, makeAuthority, makeCertificate } from "../testing/certificates.ts";
import { proxyFor } from "./proxy.ts";
import { isLoopback } from "./registry-address.ts";

let directory: string;
let closing: (() => void | Promise<void>)[];

beforeEach(() => {
	directory = fs.mkdtempSync(path.join(os.tmpdir(), "lamella-hosts-"));
	closing = [];
});

afterEach(async () => {
	for (const close of closing.reverse()) await close();
	fs.rmSync(directory, { recursive: true });
});

function write(name: string, content: string | Buffer = ""): string {
	const file = path.join(directory, name);
	fs.mkdirSync(path.dirname(file), { recursive: true });
	fs.writeFileSync(file, content);
	return file;
}

function open(options: HostOptions = {}): Hosts {
	const hosts = openHosts({ certsDirectories: [directory], environment: {}, ...options });
	closing.push(() => hosts.close());
	return hosts;
}

async function hostsOf(registry: string, options?: HostOptions): Promise<readonly RegistryHost[]> {
	return await open(options).hostsOf(registry);
}

async function serve(server: http.Server | https.Server): Promise<number> {
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	closing.push(() => {
		server.closeAllConnections();
		server.close();
	});
	return (server.address() as AddressInfo).port;
}

async function get(host: RegistryHost | undefined, origin = host?.origin ?? ""): Promise<string> {
	if (host === undefined) throw new Error("there is no host");
	const { body } = await request(`${origin}${host.path}/`, { dispatcher: host.dispatcher });
	return await body.text();
}

describe("hosts of a registry without configuration", () => {
	test("docker.io is asked at registry-1.docker.io by TLS, and is no mirror", async () => {
		const [host, ...others] = await hostsOf("docker.io");
		expect(others).toEqual([]);
		expect(host).toMatchObject({ origin: "https://registry-1.docker.io", path: "/v2", isMirror: false });
		expect(host?.can).toEqual({ pull: true, resolve: true, push: true });
	});

	test("a host elsewhere is never asked in plain text", async () => {
		const [host] = await hostsOf("registry.invalid:80");
		expect(host?.origin).toBe("https://registry.invalid:80");
	});

	test("a host of this machine that speaks no TLS is asked in plain text", async () => {
		const port = await serve(http.createServer((_, response) => response.end("plain")));
		const [host] = await hostsOf(`localhost:${port}`);
		expect(host?.origin).toBe(`http://localhost:${port}`);
		expect(await get(host)).toBe("plain");
	});

	test("a host of this machine that speaks TLS is asked by TLS, and its certificate is looked at", async () => {
		const ca = makeAuthority(directory);
		const port = await serve(tlsServer(makeCertificate(directory, "server", ca)));
		const [host] = await hostsOf(`127.0.0.1:${port}`);
		expect(host?.origin).toBe(`https://127.0.0.1:${port}`);
		await expect(get(host)).rejects.toThrow(/certificate/);
	});

	test("SSL_CERT_FILE says whom to trust", async () => {
		const ca = makeAuthority(directory);
		const port = await serve(tlsServer(makeCertificate(directory, "server", ca)));
		const [host] = await hostsOf(`localhost:${port}`, { environment: { SSL_CERT_FILE: ca.certificate } });
		expect(await get(host)).toBe("by TLS");
	});

	test.each(["localhost", "127.0.0.1", "127.9.9.9", "::1", "LOCALHOST"])("%s is this machine", (name) => {
		expect(isLoopback(name)).toBe(true);
	});

	test.each(["localhost.example", "128.0.0.1", "::2", "127.0.0.1.example", ""])(
		"%j is not this machine",
		(name) => {
			expect(isLoopback(name)).toBe(false);
		},
	);
});

function tlsServer({ certificate, key }: KeyPair, options: https.ServerOptions = {}): https.Server {
	return https.createServer(
		{ cert: fs.readFileSync(certificate), key: fs.readFileSync(key), ...options },
		(_, response) => response.end("by TLS"),
	);
}

describe("hosts.toml", () => {
	test("its hosts are asked in the file's order, then the server", async () => {
		write(
			"docker.io/hosts.toml",
			`server = "https://registry-1.docker.io"
[host."https://b.example"]
  capabilities = ["pull", "resolve"]
[host."http://a.example:5000/cache"]
  capabilities = ["pull"]
  [host."http://a.example:5000/cache".header]
    x-one = "1"
    x-two = ["2", "3"]
[host."c.example/v2/team"]
  override_path = true
`,
		);
		const hosts = await hostsOf("docker.io");
		const seen = hosts.map(({ origin, path, can, headers, isMirror }) => ({
			origin,
			path,
			can,
			headers,
			isMirror,
		}));
		const all = { pull: true, resolve: true, push: true };
		expect(seen).toEqual([
			{ origin: "https://b.example", path: "/v2", can: { ...all, push: false }, headers: {}, isMirror: true },
			{
				origin: "http://a.example:5000",
				path: "/cache/v2",
				can: { pull: true, resolve: false, push: false },
				headers: { "x-one": "1", "x-two": "2, 3" },
				isMirror: true,
			},
			{ origin: "https://c.example", path: "/v2/team", can: all, headers: {}, isMirror: true },
			{ origin: "https://registry-1.docker.io", path: "/v2", can: all, headers: {}, isMirror: false },
		]);
	});

	test("without a server the registry itself comes last, with the keys above the tables", async () => {
		write("r.example/hosts.toml", 'capabilities = ["pull"]\n[host."https://m.example"]\n');
		const hosts = await hostsOf("r.example");
		expect(hosts.map(({ origin, can }) => [origin, can.push])).toEqual([
			["https://m.example", true],
			["https://r.example", false],
		]);
	});

	test.each(["r.example_5000_", "r.example:5000"])("a host with a port is found as %s", async (name) => {
		write(`${name}/hosts.toml`, 'server = "http://other.example"\n');
		const [host] = await hostsOf("r.example:5000");
		expect(host).toMatchObject({ origin: "http://other.example", isMirror: true });
	});

	test("_default is for registries that no directory names", async () => {
		write("first/_default/hosts.toml", '[host."https://all.example"]\n');
		write("second/r.example/hosts.toml", '[host."https://one.example"]\n');
		const options = { certsDirectories: [path.join(directory, "first"), path.join(directory, "second")] };
		const originsOf = async (registry: string): Promise<readonly string[]> =>
			(await hostsOf(registry, options)).map(({ origin }) => origin);
		expect(await originsOf("r.example")).toEqual(["https://one.example", "https://r.example"]);
		expect(await originsOf("s.example")).toEqual(["https://all.example", "https://s.example"]);
	});

	test("a plain host is spoken to in plain text where the file says so", async () => {
		const port = await serve(http.createServer((_, response) => response.end("plain")));
		write("r.example/hosts.toml", `server = "http://localhost:${port}"\n`);
		expect(await get((await hostsOf("r.example"))[0])).toBe("plain");
	});

	test.each([
		["not = toml = at all", /hosts\.toml: line 1, column/],
		["capabilities = ['fly']", /hosts\.toml: "capabilities\.0" has to be "pull"/],
		["skip_verify = 'yes'", /hosts\.toml: "skip_verify" has to be true or false/],
		["server = 'ftp://x'", /hosts\.toml: "server" is not the address of a host/],
		['[host."https://"]', /hosts\.toml: "host\."https:\/\/"" is not the address/],
		[
			'[host."https://a"]\nca = "missing.pem"',
			/host\."https:\/\/a": ca: cannot read .*r\.example\/missing\.pem/,
		],
		[
			'[host."https://a"]\nclient = [["a", "b", "c"]]',
			/"host\.https:\/\/a\.client" has to be a file, or a list/,
		],
	])("%j is refused by file and key", async (content, message) => {
		write("r.example/hosts.toml", content);
		await expect(hostsOf("r.example")).rejects.toMatchObject({
			code: "ECONFIG",
			message: expect.stringMatching(message),
		});
	});

	test("keys that are not known are passed over", async () => {
		write("r.example/hosts.toml", 'dial_timeout = "3s"\n[host."https://m.example"]\nnew_in_3 = true\n');
		expect(await hostsOf("r.example")).toHaveLength(2);
	});
});

describe("TLS of one host", () => {
	test("a CA of hosts.toml is trusted for its host alone", async () => {
		const ca = makeAuthority(directory);
		const port = await serve(tlsServer(makeCertificate(directory, "server", ca)));
		write(`localhost_${port}_/hosts.toml`, 'ca = "../ca.pem"\n');
		const hosts = open();
		expect(await get((await hosts.hostsOf(`localhost:${port}`))[0])).toBe("by TLS");
		await expect(get((await hosts.hostsOf(`127.0.0.1:${port}`))[0])).rejects.toThrow(/certificate/);
	});

	test("skip_verify takes any certificate", async () => {
		const port = await serve(tlsServer(makeCertificate(directory, "server", makeAuthority(directory))));
		write(`localhost_${port}_/hosts.toml`, "skip_verify = true\n");
		expect(await get((await hostsOf(`localhost:${port}`))[0])).toBe("by TLS");
	});

	test.each([
		["a pair", '[["../client.pem", "../client-key.pem"]]'],
		["one file", '"../both.pem"'],
		["a list of files", '["../both.pem"]'],
	])("a client's certificate is shown to its host, from %s", async (_, client) => {
		const ca = makeAuthority(directory);
		const { certificate, key } = makeCertificate(directory, "client", ca);
		write("both.pem", Buffer.concat([fs.readFileSync(certificate), fs.readFileSync(key)]));
		const mutual = { requestCert: true, rejectUnauthorized: true, ca: fs.readFileSync(ca.certificate) };
		const server = makeCertificate(directory, "server", ca);
		const port = await serve(tlsServer(server, mutual));
		const elsewhere = await serve(tlsServer(server, mutual));
		write(`localhost_${port}_/hosts.toml`, `ca = "../ca.pem"\nclient = ${client}\n`);
		const [host] = await hostsOf(`localhost:${port}`);
		expect(await get(host)).toBe("by TLS");
		await expect(get(host, `https://localhost:${elsewhere}`)).rejects.toThrow();
	});

	test("docker's form: *.crt are CAs, *.cert and *.key a client's", async () => {
		const ca = makeAuthority(directory);
		const client = makeCertificate(directory, "client", ca);
		const mutual = { requestCert: true, rejectUnauthorized: true, ca: fs.readFileSync(ca.certificate) };
		const port = await serve(tlsServer(makeCertificate(directory, "server", ca), mutual));
		write(`localhost:${port}/ca.crt`, fs.readFileSync(ca.certificate));
		write(`localhost:${port}/client.cert`, fs.readFileSync(client.certificate));
		write(`localhost:${port}/client.key`, fs.readFileSync(client.key));
		expect(await get((await hostsOf(`localhost:${port}`))[0])).toBe("by TLS");
	});

	test("a client's certificate without its key is refused by name", async () => {
		write("r.example/client.cert", "x");
		await expect(hostsOf("r.example")).rejects.toThrow(/r\.example\/client\.cert has no key: client\.key/);
	});

	test("a file that is no certificate is refused by name", async () => {
		write("r.example/ca.crt", "nonsense");
		const [host] = await hostsOf("r.example");
		await expect(get(host)).rejects.toThrow(/r\.example\/ca\.crt holds no CA certificate/);
	});
});

describe("proxies", () => {
	const environment = {
		HTTPS_PROXY: "http://user:secret@proxy.example:3128",
		http_proxy: "small.example",
		NO_PROXY: "a.example, .b.example,10.0.0.0/8,192.0.2.1,c.example:5000,[2001:db8::1]:443,2001:db8:1::/48",
	};

	test.each([
		["https://registry.example", "proxy.example"],
		["http://registry.example", "small.example"],
		["https://a.example", undefined],
		["https://sub.a.example", undefined],
		["https://nota.example", "proxy.example"],
		["https://b.example", "proxy.example"],
		["https://sub.B.example", undefined],
		["https://10.1.2.3", undefined],
		["https://11.1.2.3", "proxy.example"],
		["https://192.0.2.1:5000", undefined],
		["https://c.example:5000", undefined],
		["https://c.example", "proxy.example"],
		["https://[2001:db8::1]", undefined],
		["https://[2001:db8::2]", "proxy.example"],
		["https://[2001:db8:1::9]:5000", undefined],
		["https://localhost:5000", undefined],
		["http://127.0.0.1:5000", undefined],
	])("%s goes through %s", (origin, proxy) => {
		expect(proxyFor(origin, environment)?.hostname).toBe(proxy);
	});

	test("* excepts every host", () => {
		expect(proxyFor("https://x.example", { HTTPS_PROXY: "http://p", NO_PROXY: "*" })).toBeUndefined();
	});

	test("a proxy that is none is refused without its text, which may hold a password", () => {
		const bad = { HTTPS_PROXY: "gopher://user:secret@proxy" };
		expect(() => proxyFor("https://x.example", bad)).toThrow(/HTTPS_PROXY is not the address of a proxy/);
		expect(() => proxyFor("https://x.example", bad)).not.toThrow(/secret/);
	});

	test("a request by TLS goes through a tunnel that the proxy opens, with the proxy's own password", async () => {
		const ca = makeAuthority(directory);
		const port = await serve(tlsServer(makeCertificate(directory, "server", ca)));
		const asked: (string | undefined)[] = [];
		const proxy = http.createServer();
		proxy.on("connect", (message, socket) => {
			asked.push(message.url, message.headers["proxy-authorization"]);
			const onward = net.connect(port, "127.0.0.1", () => {
				socket.write("HTTP/1.1 200 OK\r\n\r\n");
				onward.pipe(socket).pipe(onward);
			});
			onward.on("error", () => socket.destroy());
			socket.on("error", () => onward.destroy());
		});
		const proxyPort = await serve(proxy);
		write("registry.invalid/hosts.toml", "skip_verify = true\n");
		const HTTPS_PROXY = `http://user:p%40ss@127.0.0.1:${proxyPort}`;
		const [host] = await hostsOf("registry.invalid", { environment: { HTTPS_PROXY } });
		expect(await get(host)).toBe("by TLS");
		expect(asked).toEqual(["registry.invalid:443", `Basic ${Buffer.from("user:p@ss").toString("base64")}`]);
	});

	test("a plain request is sent to the proxy whole", async () => {
		const asked: (string | undefined)[] = [];
		const proxy = http.createServer((message, response) => {
			asked.push(message.url);
			response.end("from the proxy");
		});
		const port = await serve(proxy);
		write("registry.invalid/hosts.toml", 'server = "http://registry.invalid"\n');
		const [host] = await hostsOf("registry.invalid", {
			environment: { HTTP_PROXY: `http://127.0.0.1:${port}` },
		});
		expect(await get(host)).toBe("from the proxy");
		expect(asked).toEqual(["http://registry.invalid/v2/"]);
	});
});
