/** One `lamella serve --config`, one store: dockerd and containerd at once, and the command line beside them. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeBusyboxTar } from "../support/busybox-root.ts";
import { Containerd } from "../support/containerd.ts";
import { Dockerd } from "../support/dockerd.ts";
import { makeFilesystem, type TestFilesystem, unmountBelow } from "../support/filesystems.ts";
import { CLI, lamella } from "../support/lamella.ts";
import { pluginAnswers } from "../support/lamella-plugin.ts";
import { makeLayeredImage } from "../support/layered-image.ts";
import { Daemon, until } from "../support/processes.ts";
import { SnapshotsClient } from "../support/snapshots-client.ts";

const IMAGE = "docker.io/library/both:1";
const DRIVER = "lamella-both";
const SPEC = `/etc/docker/plugins/${DRIVER}.spec`;
const FOREVER = "trap 'exit 0' TERM; echo kept > /kept; while :; do sleep 0.1; done";

let filesystem: TestFilesystem;
let server: Daemon;
let dockerd: Dockerd;
let containerd: Containerd;
const at = (name: string): string => path.join(filesystem.path, name);

beforeAll(async () => {
	filesystem = makeFilesystem("ext4", 2 * 2 ** 30);
	makeBusyboxTar(at("busybox.tar"));
	makeLayeredImage(at("image.tar"), { layers: 4, name: IMAGE });
	writeFileSync(
		at("config.toml"),
		`root = "${at("store")}"
		[containerd]
		socket = "${at("containerd.sock")}"
		[docker]
		socket = "${at("docker-plugin.sock")}"
		state-dir = "${at("docker-state")}"
		`,
	);
	mkdirSync(path.dirname(SPEC), { recursive: true });
	writeFileSync(SPEC, `unix://${at("docker-plugin.sock")}`);
	server = startServer();
	await ready();
	dockerd = await Dockerd.start({ driver: DRIVER, args: ["--experimental"], home: at("dockerd") });
	containerd = await Containerd.start(at("ctd"), { lamella: at("containerd.sock") });
});
afterAll(async () => {
	await containerd?.[Symbol.asyncDispose]();
	await dockerd?.[Symbol.asyncDispose]();
	await server?.stop();
	rmSync(SPEC, { force: true });
	if (filesystem !== undefined) unmountBelow(filesystem.path);
	filesystem?.[Symbol.dispose]();
});

function startServer(): Daemon {
	const words = [CLI, "serve", "--config", at("config.toml")];
	return new Daemon(process.execPath, words, { logFile: at("lamella.log") });
}

function ready(): Promise<void> {
	return server.until(async () => {
		using snapshotter = new SnapshotsClient(at("containerd.sock"));
		const lists = snapshotter.list().then(
			() => true,
			() => false,
		);
		return (await lists) && (await pluginAnswers(at("docker-plugin.sock")));
	});
}

const docker = async (...args: string[]): Promise<string> => (await dockerd.dockerAsync(...args)).trim();
const ctr = async (...args: string[]): Promise<string> => (await containerd.ctr(...args)).trim();
const layers = (): { id: string; kind: string }[] => JSON.parse(lamella(at("store"), "layers", "--json"));
const ids = (): string[] => layers().map(({ id }) => id);
const ofContainerd = (): string[] => ids().filter((id) => id.startsWith("containerd/"));
const ofOthers = (): string[] => ids().filter((id) => !id.startsWith("containerd/"));

it("serves dockerd and containerd at once from one store, and neither takes anything of the other's", async () => {
	const run = ["--network", "none", "bb:1", "sh", "-c", FOREVER];
	await Promise.all([
		docker("import", at("busybox.tar"), "bb:1").then(() => docker("run", "-d", "--name", "dock", ...run)),
		ctr("images", "import", "--snapshotter", "lamella", at("image.tar")).then(() =>
			ctr("run", "-d", "--snapshotter", "lamella", IMAGE, "ctrd", "/bin/sh", "-c", FOREVER),
		),
	]);
	lamella(at("store"), "import", at("image.tar"));
	expect(lamella(at("store"), "images")).toContain("both:1");
	expect(lamella(at("store"), "status")).toContain(at("store"));
	expect(ofContainerd()).toHaveLength(5);
	// An image layer, the container's -init and its own; and what the command line imported.
	const others = ofOthers();
	expect(others.length).toBeGreaterThanOrEqual(3 + 4);

	const script = "cat /kept; echo more > /more; ls /data | head -1";
	const execC = (id: string): Promise<string> =>
		ctr("tasks", "exec", "--exec-id", id, "ctrd", "/bin/sh", "-c", script);
	expect(await execC("e1")).toMatch(/^kept/);
	expect(await docker("exec", "dock", "sh", "-c", "cat /kept; echo more > /more")).toBe("kept");
	expect((await docker("diff", "dock")).split("\n").sort()).toEqual(["A /kept", "A /more"]);

	// Both go on when the one process behind them is killed and started again.
	await server.stop("SIGKILL");
	server = startServer();
	await ready();
	expect(await docker("exec", "dock", "cat", "/more")).toBe("more");
	await docker("commit", "dock", "bb:2");
	expect(await docker("run", "--rm", "--network", "none", "bb:2", "cat", "/more")).toBe("more");
	const once = ["run", "--rm", "--snapshotter", "lamella", IMAGE, "t", "/bin/true"];
	await until("containerd's connection", async () => (await containerd.tryCtr(...once)).code === 0);
	expect(await execC("e2")).toMatch(/^kept/);

	// containerd's garbage collection takes all that is its own, and nothing else.
	const before = ofOthers();
	await ctr("tasks", "rm", "-f", "ctrd");
	await ctr("containers", "rm", "ctrd");
	await ctr("images", "rm", "--sync", IMAGE);
	await until("containerd's garbage collection", () => ofContainerd().length === 0);
	expect(ofOthers()).toEqual(before);
	expect(await docker("exec", "dock", "cat", "/kept")).toBe("kept");
	expect(lamella(at("store"), "images")).toContain("both:1");

	await docker("rm", "-f", "dock");
	await docker("rmi", "bb:2", "bb:1");
	lamella(at("store"), "rmi", IMAGE);
	expect(layers()).toEqual([]);
	await until("the deleting", () => readdirSync(at("store/layers")).length === 0);
});
