/**
 * Debian's dockerd on top of lamella: one script of what people do with docker, run with `-s lamella` and with
 * `-s overlay2`, and compared output by output.
 */
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeBusyboxTar } from "../../support/busybox-root.ts";
import { Dockerd } from "../../support/dockerd.ts";
import { makeDirectory, mountsBelow, type TestFilesystem } from "../../support/filesystems.ts";
import { LamellaPlugin } from "../../support/lamella-plugin.ts";

let place: TestFilesystem;
let work: string;
let busybox: string;

beforeAll(() => {
	place = makeDirectory("lamella-e2e-docker-");
	work = place.path;
	busybox = path.join(work, "busybox.tar");
	makeBusyboxTar(busybox);
	const context = path.join(work, "context/tree/sub");
	mkdirSync(context, { recursive: true });
	writeFileSync(path.join(work, "context/tree/a"), "a\n");
	writeFileSync(path.join(context, "b"), "b\n");
	writeFileSync(
		path.join(work, "context/Dockerfile"),
		[
			"FROM bb:1",
			"RUN rm /usr/share/doc/page-1 && rm -r /var/lib && mkdir /var/lib && echo new > /var/lib/new",
			"COPY tree /opt/tree",
			"RUN chmod 4711 /opt/tree/a && chown -R 1000:1000 /opt/tree/sub && ln /opt/tree/a /opt/tree/hard && ln -s a /opt/tree/soft",
			"RUN mv /usr/share/doc /usr/share/papers && mknod /opt/pipe p",
			"USER ann",
			'CMD ["sh", "-c", "id -u; cat /opt/tree/a"]',
			"",
		].join("\n"),
	);
});
afterAll(() => place[Symbol.dispose]());

const RUN = ["--network", "none"] as const;

interface Machine {
	readonly dockerd: Dockerd;
	/** Ends the graph driver where it is a process of its own. */
	readonly killDriver: () => Promise<void>;
}

/** What people do, and what they see of it: everything but ids and times. */
async function script({ dockerd, killDriver }: Machine, scratch: string): Promise<Record<string, unknown>> {
	const seen: Record<string, unknown> = {};
	const docker = (...args: string[]): Promise<string> => dockerd.dockerAsync(...args);
	const note = async (title: string, ...args: string[]): Promise<void> => {
		const { code, stdout, stderr } = await dockerd.tryDocker(...args);
		const hideIds = (text: string): string => text.replace(/[0-9a-f]{12,64}/g, "ID");
		seen[title] = { code, stdout: hideIds(stdout), stderr: hideIds(stderr) };
	};
	const diffIds = async (image: string): Promise<string> =>
		docker("image", "inspect", "-f", "{{json .RootFS.Layers}}", image);
	// A directory's size and links are the filesystem's own affair: of one that is merged, overlayfs says 1.
	const listing =
		"find / -xdev -not -path '/proc*' -not -path '/sys*' -not -path '/dev*' | sort | xargs stat -c '%n %F %a %u %g %h %s' | sed -E 's/( directory .*) [0-9]+ [0-9]+$/\\1/'";

	await docker("import", busybox, "bb:1");
	seen["diffIDs of the import"] = await diffIds("bb:1");
	await note("run", "run", "--rm", ...RUN, "bb:1", "sh", "-c", listing);
	const waits = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
	await docker("run", "-d", "--name", "c1", ...RUN, "bb:1", "sh", "-c", waits);
	await note("diff of what did nothing", "diff", "c1");
	const changes =
		"echo x > /etc/x; rm /usr/share/doc/page-2; rm -r /home; mkdir /home; echo more >> /usr/share/doc/page-3; chmod 600 /etc/group; mkdir -p /a/b/c; ln /etc/passwd /etc/passwd2; mv /usr/share/doc/page-4 /tmp/page-4";
	await note("exec", "exec", "c1", "sh", "-c", changes);
	seen.diff = (await docker("diff", "c1")).split("\n").sort();
	await note("size", "ps", "-s", "--filter", "name=c1", "--format", "{{.Names}} {{.Size}}");
	await note("size in bytes", "inspect", "-s", "-f", "{{.SizeRw}} {{.SizeRootFs}}", "c1");
	writeFileSync(path.join(scratch, "in"), "copied in\n");
	await note("cp in", "cp", path.join(scratch, "in"), "c1:/a/b/in");
	await note("cp out", "cp", "c1:/usr/share/doc/page-3", path.join(scratch, "out"));
	seen["copied out"] = readFileSync(path.join(scratch, "out"), "utf8");

	await killDriver();
	await note("exec after the driver was killed", "exec", "c1", "cat", "/a/b/in");
	seen["diff after the driver was killed"] = (await docker("diff", "c1")).split("\n").sort();
	await docker("commit", "c1", "bb:2");
	await note("run of the commit", "run", "--rm", ...RUN, "bb:2", "sh", "-c", `rm -f /none; ${listing}`);
	seen["layers of the commit"] = (JSON.parse(await diffIds("bb:2")) as string[]).length;

	await note("build", "build", "-q", "--network", "none", "-t", "bb:3", path.join(work, "context"));
	await note("run of the build", "run", "--rm", ...RUN, "bb:3");
	await note("tree of the build", "run", "--rm", "--user", "0", ...RUN, "bb:3", "sh", "-c", listing);
	await note("history", "history", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", "bb:3");
	const sizes = async (when: string): Promise<void> => {
		seen[`images ${when}`] = (await docker("images", "--format", "{{.Repository}}:{{.Tag}} {{.Size}}"))
			.split("\n")
			.sort();
		await note(`sizes of images ${when}`, "image", "inspect", "-f", "{{.Size}}", "bb:1", "bb:2", "bb:3");
		const columns = "{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}";
		await note(`disk use ${when}`, "system", "df", "--format", columns);
	};
	await sizes("when made");

	// One image alone: docker puts several in no order.
	const save = async (name: string): Promise<string> => {
		const file = path.join(scratch, name);
		await docker("save", "-o", file, "bb:3");
		return createHash("sha256").update(readFileSync(file)).digest("hex");
	};
	const digests = [await save("saved-1.tar"), await save("saved-2.tar")];
	seen["saved twice the same"] = digests[0] === digests[1];
	const all = path.join(scratch, "all.tar");
	await docker("save", "-o", all, "bb:1", "bb:2", "bb:3");
	const before = [await diffIds("bb:2"), await diffIds("bb:3")];
	await docker("rm", "-f", "c1");
	await docker("rmi", "bb:1", "bb:2", "bb:3");
	await docker("image", "prune", "-af");
	seen["images when all are gone"] = await docker("images", "-aq");
	await docker("load", "-i", all);
	seen["loaded again with the same diffIDs"] =
		JSON.stringify(before) === JSON.stringify([await diffIds("bb:2"), await diffIds("bb:3")]);
	seen["saved the same after loading"] = (await save("saved-3.tar")) === digests[0];
	await sizes("when loaded");
	await note("tree of what was loaded", "run", "--rm", "--user", "0", ...RUN, "bb:3", "sh", "-c", listing);

	await docker("run", "-d", "--name", "c2", ...RUN, "bb:3", "sleep", "1000");
	await docker("exec", "--user", "0", "c2", "sh", "-c", "echo kept > /kept");
	await dockerd.restart("SIGKILL");
	await note("containers after dockerd was killed", "ps", "-a", "--format", "{{.Names}}");
	const mounted = (): number =>
		mountsBelow(dockerd.root).filter((point) => /\/(merged|mounts\/\w+)$/.test(point)).length;
	seen["mounts after dockerd was killed"] = mounted();
	await note("start again", "start", "c2");
	seen["mounts when started again"] = mounted();
	await note("what was written before", "exec", "c2", "cat", "/kept");
	await docker("rm", "-f", "c2");
	// In no order.
	seen.prune = (await docker("system", "prune", "-af"))
		.replace(/[0-9a-f]{64}/g, "ID")
		.split("\n")
		.sort();
	seen["images at the end"] = await docker("images", "-aq");
	return seen;
}

describe("dockerd", () => {
	it("does all as with overlay2, through kills of either daemon, and leaves nothing", async () => {
		const scratch = (name: string): string => {
			const directory = path.join(work, name);
			mkdirSync(directory);
			return directory;
		};
		let expected: Record<string, unknown>;
		{
			await using dockerd = await Dockerd.start({ driver: "overlay2" });
			expected = await script({ dockerd, killDriver: async () => undefined }, scratch("overlay2"));
		}
		await using plugin = await LamellaPlugin.start();
		await using dockerd = await Dockerd.start({ driver: plugin.name, args: ["--experimental"] });
		expect(dockerd.docker("info", "-f", "{{.Driver}}")).toBe("lamella\n");
		const seen = await script({ dockerd, killDriver: () => plugin.restart("SIGKILL") }, scratch("lamella"));
		expect(seen).toEqual(expected);
		expect(seen).toMatchObject({ "saved twice the same": true, "loaded again with the same diffIDs": true });
		expect(plugin.log()).not.toContain('"level":"error"');
		const home = path.join(dockerd.root, plugin.name);
		expect(mountsBelow(home)).toEqual([]);
		using client = plugin.client();
		expect(Object.fromEntries(await client.status()).Layers).toMatch(/^0 committed, 0 writable/);
		await expect.poll(() => readdirSync(path.join(home, "layers"))).toEqual([]);
		await dockerd.stop();
		await plugin.stop();
	});

	it("runs containers in a user namespace", async () => {
		using _ids = subordinateIds("nobody:300000:65536");
		await using plugin = await LamellaPlugin.start();
		// The remapped root has to be able to walk there.
		const home = path.join(work, "userns");
		mkdirSync(home);
		chmodSync(work, 0o711);
		await using dockerd = await Dockerd.start({
			driver: plugin.name,
			home,
			args: ["--experimental", "--userns-remap=nobody:nogroup"],
		});
		await dockerd.dockerAsync("import", busybox, "bb:1");
		const sh = (script: string): Promise<string> =>
			dockerd.dockerAsync("run", "--rm", ...RUN, "bb:1", "sh", "-c", script);
		expect(await sh("stat -c '%u %g' / /bin/busybox /etc/passwd; touch /new && stat -c %u /new")).toBe(
			"0 0\n0 0\n0 0\n0\n",
		);
		// Overlayfs copies a directory up for a rename by way of work/work.
		expect(await sh("mv /usr/share/doc /moved && ls /moved | wc -l")).toBe("20\n");
		const script = "echo x > /x; chown 1000 /x";
		await dockerd.dockerAsync("run", "--name", "c1", ...RUN, "bb:1", "sh", "-c", script);
		await dockerd.dockerAsync("commit", "c1", "bb:2");
		const owner = await dockerd.dockerAsync("run", "--rm", ...RUN, "bb:2", "stat", "-c", "%u", "/x");
		expect(owner).toBe("1000\n");
	});
});

/** The line in /etc/subuid and /etc/subgid for as long as a test needs it. */
function subordinateIds(line: string): Disposable {
	const files = ["/etc/subuid", "/etc/subgid"].map((file) => {
		const before = existsSync(file) ? readFileSync(file, "utf8") : "";
		writeFileSync(file, `${before}${line}\n`);
		return { file, before };
	});
	return {
		[Symbol.dispose](): void {
			for (const { file, before } of files) writeFileSync(file, before);
		},
	};
}
