import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parse } from "smol-toml";
import { describe, expect, it } from "vitest";
import { parseConfig, printedConfig, resolveConfig } from "./index.ts";

const read = (text: string) => parseConfig(text, "x.toml");
const repository = path.resolve(import.meta.dirname, "../../..");

describe("the configuration file", () => {
	it("has defaults for everything in a table that is there", () => {
		expect(read("[containerd]\n[docker]")).toEqual({
			"log-level": "info",
			containerd: {
				socket: "/run/lamella/containerd.sock",
				"id-maps": "mount",
				"upperdir-label": false,
				"remote-snapshots": false,
			},
			docker: {
				socket: "/run/docker/plugins/lamella.sock",
				"state-dir": "/var/lib/lamella-docker",
				"own-store": false,
			},
		});
	});

	it.each([
		["colour = 1", 'x.toml: the key "colour" is not known'],
		["[containerd]\nsokcet = '/x'", 'x.toml: the key "containerd.sokcet" is not known'],
		["[containerd]\nsocket = 'x'", 'x.toml: "containerd.socket" has to be an absolute path'],
		["docker = true", 'x.toml: "docker" has to be a table, [docker]'],
		["flatten = 'often'", 'x.toml: "flatten" has to be one of "always", "auto", "never"'],
		["[docker]\nown-store = 1", 'x.toml: "docker.own-store" has to be true or false'],
	])("refuses %s", (text, message) => {
		expect(() => read(text)).toThrow(expect.objectContaining({ code: "ECONFIG", message }));
	});

	it("names the line of what is no TOML", () => {
		expect(() => read('root = "/a"\n[containerd\n')).toThrow(/x\.toml: line 2, column/);
	});

	it("gives way to the command line, and to one protocol where that is named", () => {
		const directory = mkdtempSync(path.join(os.tmpdir(), "lamella-"));
		try {
			const file = path.join(directory, "c.toml");
			writeFileSync(file, 'root = "/a"\n[containerd]\nupperdir-label = true\n[docker]\n');
			const both = resolveConfig({ file, root: "/b", logLevel: "debug" });
			expect(both).toMatchObject({ root: "/b", "log-level": "debug", docker: { "own-store": false } });
			const one = resolveConfig({ file, protocol: "containerd", socket: "/s" });
			expect(one.docker).toBeUndefined();
			expect(one.containerd).toMatchObject({ socket: "/s", "upperdir-label": true });
			expect(() => resolveConfig({ file, socket: "/s" })).toThrow(/need a protocol/);
		} finally {
			rmSync(directory, { recursive: true });
		}
		expect(resolveConfig({ protocol: "docker" }).docker).toMatchObject({ "own-store": true });
		expect(() => resolveConfig({ file: "/nowhere.toml" })).toThrow(
			expect.objectContaining({ code: "ENOTFOUND" }),
		);
	});

	it("is described key by key on its page", () => {
		const { containerd, docker } = read("[containerd]\n[docker]");
		const keys = [containerd, docker].flatMap((table) => Object.keys(table ?? {}));
		const page = readFileSync(path.join(repository, "docs/configuration.md"), "utf8");
		for (const key of ["root", "driver", "flatten", "log-level", ...keys])
			expect(page).toContain(`| \`${key}\` |`);
	});
});

describe("what is printed for others", () => {
	it("is a table for containerd, a document for docker, and the units that are packaged", () => {
		const toml = printedConfig("containerd", { socket: "/s.sock", command: "serve" });
		expect(parse(toml)).toEqual({
			version: 2,
			proxy_plugins: { lamella: { type: "snapshot", address: "/s.sock" } },
		});
		expect(JSON.parse(printedConfig("docker", { command: "serve" }))).toEqual({
			experimental: true,
			"storage-driver": "lamella",
		});
		const unit = (name: string): string =>
			readFileSync(path.join(repository, "packaging/systemd", name), "utf8");
		expect(printedConfig("systemd", { command: "serve" })).toBe(unit("lamella.service"));
		expect(printedConfig("systemd", { command: "serve docker", protocol: "docker" })).toBe(
			unit("lamella-docker.service"),
		);
	});
});
