/** `lamella run`: what the command gets, on a terminal and off it; what it does not get; and what a kill leaves. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeDirectory, mountsBelow, type TestFilesystem } from "../support/filesystems.ts";
import { CLI, lamella, tryLamella } from "../support/lamella.ts";
import { run, until } from "../support/processes.ts";
import { makeSmallImage } from "../support/small-image.ts";
import { Terminal } from "../support/terminal.ts";

let directory: TestFilesystem;
let root: string;

beforeAll(() => {
	directory = makeDirectory("lamella-run-");
	root = path.join(directory.path, "root");
	lamella(root, "import", makeSmallImage(directory.path).archive, "--name", "box:1");
	for (const name of ["web", "types"]) lamella(root, "create", name, "box:1");
	const source = path.resolve(import.meta.dirname, "../support/tiocsti.c");
	run("cc", ["-static", "-o", at("tiocsti"), source]);
	copyFileSync(at("tiocsti"), path.join(lamella(root, "mount", "types").trimEnd(), "bin/tiocsti"));
	lamella(root, "unmount", "types");
});

afterAll(() => {
	directory[Symbol.dispose]();
});

/** What `lamella run …` prints, without the last line break; it has to go well. */
const inside = (...words: string[]): string => lamella(root, "run", ...words).trimEnd();
const layers = (): string => lamella(root, "--json", "layers");
const at = (name: string): string => path.join(directory.path, name);

const LAMELLA = `${process.execPath} ${CLI}`;

/** A terminal on which LAMELLA has its store, and $out is a directory. */
const terminal = (line: string): Terminal =>
	new Terminal(line, {
		PATH: process.env.PATH ?? "",
		TERM: "xterm",
		LAMELLA_ROOT: root,
		out: directory.path,
	});

describe("a command", () => {
	test("runs in a layer with what its image says, and its changes stay", () => {
		expect(inside("web", "--", "sh", "-c", "pwd; echo $FROM_IMAGE; hostname; echo new > /srv/made")).toBe(
			"/data\nyes\nweb",
		);
		expect(lamella(root, "changes", "web")).toContain("A /srv/made");
		expect(
			inside("-u", "ann", "-w", "/tmp", "-e", "X=1", "web", "--", "sh", "-c", "id -u; pwd; echo $X"),
		).toBe("1000\n/tmp\n1");
		expect(lamella(root, "--json", "inspect", "web")).toContain('"mountCount": 0');
	});

	test("gives its exit code back; of one that does not start it is docker's", () => {
		const code = (...words: string[]): number | null => tryLamella(root, "run", ...words).code;
		expect(code("web", "sh", "-c", "exit 9")).toBe(9);
		expect(code("web", "sh", "-c", "kill -9 $$")).toBe(137);
		expect(code("web", "/etc/issue")).toBe(126);
		expect(tryLamella(root, "run", "--image", "box:1", "no-such-command")).toMatchObject({
			code: 127,
			stderr: expect.stringContaining("no-such-command"),
		});
		expect(code("nowhere", "true")).toBe(125);
		expect(code("-u", "nobody-here", "web", "true")).toBe(125);
	});

	test("with --image has a layer that is thrown away", () => {
		const before = layers();
		expect(inside("--image", "box:1", "--", "cat", "/etc/issue")).toBe("busybox");
		expect(layers()).toBe(before);
	});

	test("reads and writes files and pipes as they are, to the last byte", () => {
		const big = Buffer.alloc(3 << 20, "0123456789abcde\n");
		const child = spawnSync(process.execPath, [CLI, "--root", root, "run", "web", "cat"], {
			input: big,
			maxBuffer: big.length * 2,
		});
		expect(child.stderr.toString()).toBe("");
		expect(child.stdout.equals(big)).toBe(true);
	});

	test("has no descriptor but 0 to 2, whatever this process has open, and neither has what keeps its namespace", () => {
		const line = 'exec 7< /etc/hostname; exec "$@"';
		const words = ["run", "web", "sh", "-c", "echo /proc/$$/fd/* /proc/1/fd/*"];
		const { stdout } = run("bash", ["-c", line, "bash", process.execPath, CLI, "--root", root, ...words]);
		// The shell has the directory open that it lists.
		expect(stdout.replace(/ \/proc\/\d+\/fd\/3 /, " ")).toMatch(
			/^\/proc\/(\d+)\/fd\/0 \/proc\/\1\/fd\/1 \/proc\/\1\/fd\/2 \/proc\/1\/fd\/0 \/proc\/1\/fd\/1 \/proc\/1\/fd\/2\n$/,
		);
	});

	test("gets the signals that lamella gets, each of them", async () => {
		const script =
			'trap "echo one" USR1; trap "echo two; exit 3" TERM; echo ready; while :; do sleep 0.1; done';
		const child = spawn(process.execPath, [CLI, "--root", root, "run", "web", "sh", "-c", script]);
		let said = "";
		const ended = new Promise((resolve) => child.once("exit", resolve));
		child.stdout.setEncoding("utf8").on("data", (text: string) => {
			said += text;
			if (said.endsWith("ready\n")) child.kill("SIGUSR1");
			if (said.endsWith("one\n")) child.kill("SIGTERM");
		});
		expect(await ended).toBe(3);
		expect(said).toBe("ready\none\ntwo\n");
	});
});

describe("on a terminal", () => {
	test("the command has one of its own: name, size, keys, all that it shows, exit code", async () => {
		using screen = terminal(`${LAMELLA} run web sh; echo code=$?`);
		await screen.until("# ");
		screen.type("ls /dev/pts; busybox tty; busybox stty size\r");
		expect(await screen.until("30 100")).toMatch(/0 +ptmx\r\n\/dev\/pts\/0\r\n/);
		screen.resize(40, 120);
		screen.type("busybox stty size\r");
		await screen.until("40 120");
		for (const key of ["\x03", "\x1a"]) {
			screen.type("sh -c 'echo runs; exec sleep 1000'\r");
			await screen.until("runs\r\n");
			screen.type(key);
			if (key === "\x03") await screen.until("# ");
		}
		await screen.until("Stopped");
		screen.type("kill -9 %1; wait; busybox seq 50000; exit 5\r");
		const shown = await screen.until("code=5");
		expect(shown).toContain("\r\n1\r\n2\r\n");
		expect(shown).toContain("\r\n49999\r\n50000\r\n");
		expect(await screen.end()).toBe(0);
	});

	test.each(["SIGTERM", "SIGHUP", "SIGALRM", "SIGUSR2"] as const)(
		"which is as it was when %s has ended the run",
		async (signal) => {
			using screen = terminal(`stty -g > $out/before
				(echo pid=$BASHPID; exec ${LAMELLA} run web sh -c 'echo started; exec sleep 1000')
				echo code=$?; stty -g > $out/after`);
			const pid = /pid=(\d+)/.exec(await screen.until("started"))?.[1];
			process.kill(Number(pid), signal);
			await screen.until(`code=${128 + constants.signals[signal]}`);
			await screen.end();
			expect(readFileSync(at("after"), "utf8")).toBe(readFileSync(at("before"), "utf8"));
		},
	);

	test("that is input only: the command has a pipe, with its end; Ctrl-C is a signal", async () => {
		const script = "trap 'echo interrupted; exit 4' INT; cat; echo end; while :; do sleep 0.1; done";
		using screen = terminal(`${LAMELLA} run web sh -c "${script}" > $out/file; echo code=$?`);
		screen.type("a line\r\x04");
		await until(
			"the file",
			() => existsSync(at("file")) && readFileSync(at("file"), "utf8").endsWith("end\n"),
		);
		screen.type("\x03");
		await screen.until("code=4");
		expect(readFileSync(at("file"), "utf8")).toBe("a line\nend\ninterrupted\n");
	});

	test("that is output only: the command has a pipe to it", async () => {
		const script = "cat; test -t 1 || echo no terminal; test -t 2 || echo nor here >&2";
		using screen = terminal(`echo piped | ${LAMELLA} run web sh -c '${script}'`);
		expect(await screen.end()).toBe(0);
		// Output and errors come through a pipe each, which keep no order between them.
		expect(screen.output.split("\r\n").toSorted()).toEqual(["", "no terminal", "nor here", "piped"]);
	});

	test("in the background it is not stopped: it has no terminal to set", async () => {
		using screen = terminal(
			`set -m; ${LAMELLA} run web sh -c 'test -t 1 || echo no terminal' & wait; echo code=$?`,
		);
		expect(await screen.until("code=0")).toContain("no terminal");
	});

	test.each(["", "< /dev/null", "| cat", "2> /dev/null | cat"])(
		"nothing is typed into it from inside (%s)",
		async (redirection) => {
			using screen = terminal(
				`${LAMELLA} run -u ann types tiocsti ${redirection}; read -t 1 -r typed; echo "typed: [$typed]"`,
			);
			await screen.until("typed: []");
		},
	);
});

test("what a killed run left goes with the next one, and with cleanup", async () => {
	const before = layers();
	for (const next of [["run", "--image", "box:1", "true"], ["cleanup"]]) {
		for (const words of [["web"], ["--image", "box:1"]]) {
			const child = spawn(
				process.execPath,
				[CLI, "--root", root, "run", ...words, "sh", "-c", "echo started; sleep 1000"],
				{ stdio: ["ignore", "pipe", "inherit"] },
			);
			await once(child.stdout, "data");
			child.kill("SIGKILL");
			await once(child, "exit");
		}
		expect(layers()).not.toBe(before);
		lamella(root, ...next);
		expect(layers()).toBe(before);
		expect(mountsBelow(root)).toEqual([]);
	}
});

test("a library user's own child has no descriptor of the store", () => {
	const library = path.resolve(import.meta.dirname, "../../dist/index.js");
	const program = `import { openStore } from ${JSON.stringify(library)};
		import { spawnSync } from "node:child_process";
		const store = await openStore({ root: ${JSON.stringify(root)} });
		const mount = await store.mount("web");
		spawnSync("ls", ["-l", "/proc/self/fd"], { stdio: "inherit" });
		await mount.unmount();
		await store.close();`;
	const { stdout } = run(process.execPath, ["--input-type=module", "-e", program]);
	const leaked = stdout.split("\n").filter((line) => line.includes(root));
	expect(leaked).toEqual([]);
	expect(stdout).toContain("-> ");
});
