/** What `lamella serve --print-config` prints is taken by Debian's containerd, dockerd and systemd. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Dockerd } from "../support/dockerd.ts";
import { makeDirectory, type TestFilesystem } from "../support/filesystems.ts";
import { CLI } from "../support/lamella.ts";
import { LamellaPlugin } from "../support/lamella-plugin.ts";
import { run } from "../support/processes.ts";

let place: TestFilesystem;
let directory: string;
beforeEach(() => {
	place = makeDirectory("lamella-print-");
	directory = place.path;
});
afterEach(() => place[Symbol.dispose]());

const printed = (...args: string[]): { stdout: string; stderr: string } =>
	run(process.execPath, [CLI, "serve", ...args]);

function saved(name: string, text: string): string {
	const file = path.join(directory, name);
	writeFileSync(file, text);
	return file;
}

it("containerd knows the snapshotter, and CRI the one for Kubernetes once its lines are no comment any more", () => {
	const { stdout } = printed("--print-config", "containerd", "--socket", "/run/elsewhere.sock");
	const dump = (text: string): string =>
		run("containerd", ["--config", saved("config.toml", text), "config", "dump"]).stdout;
	const plain = dump(stdout);
	expect(plain).toContain('address = "/run/elsewhere.sock"');
	expect(plain).toContain('snapshotter = "overlayfs"');
	const [head = "", kubernetes = ""] = stdout.split("# Kubernetes, in a file of version 2:\n");
	const cri = kubernetes.split("\n\n")[0]?.replace(/^#/gm, "") ?? "";
	expect(dump(`${head}\n${cri}\n`)).toContain('snapshotter = "lamella"');
});

it("dockerd uses the graph driver that its configuration names", async () => {
	await using plugin = await LamellaPlugin.start("lamella-printed");
	const socket = "/run/docker/plugins/lamella-printed.sock";
	const config = printed("--print-config", "docker", "--socket", socket).stdout;
	await using dockerd = await Dockerd.start({ home: path.join(directory, "dockerd"), config });
	const info = dockerd.docker("info", "-f", "{{.Driver}} {{.ExperimentalBuild}}");
	expect(info.trim()).toBe("lamella-printed true");
	expect(plugin.log()).toContain("GraphDriver.Init");
});

it("says what else dockerd needs where the socket is not at its place, and takes the place from the file", () => {
	const config = saved("lamella.toml", `[docker]\nsocket = "${directory}/plugin.sock"\n`);
	const { stdout, stderr } = printed("--print-config", "docker", "--config", config);
	expect(JSON.parse(stdout)).toEqual({ experimental: true, "storage-driver": "lamella" });
	expect(stderr).toContain(`write unix://${directory}/plugin.sock to /etc/docker/plugins/lamella.spec`);
});

it("systemd finds nothing wrong with the units", () => {
	const bin = path.join(directory, "bin");
	mkdirSync(bin);
	const program = path.join(bin, "lamella");
	writeFileSync(program, "#!/bin/sh\n");
	chmodSync(program, 0o755);
	for (const protocol of [[], ["containerd"], ["docker"]]) {
		// The program is installed nowhere here, so that systemd would say that it is missing.
		const text = printed(...protocol, "--print-config", "systemd").stdout;
		const unit = saved("lamella.service", text.replace("ExecStart=lamella", `ExecStart=${program}`));
		expect(text).toMatch(/^ExecStart=lamella serve/m);
		const { code, stdout, stderr } = run("systemd-analyze", ["verify", unit], { mayFail: true });
		expect([code, stdout + stderr]).toEqual([0, ""]);
	}
});
