/** The command `lamella` as a person and a script meet it: on a terminal and in a pipe, going well and going wrong. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
	closeSync,
	createReadStream,
	existsSync,
	openSync,
	readdirSync,
	readFileSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeDirectory, type TestFilesystem } from "../support/filesystems.ts";
import { CLI } from "../support/lamella.ts";
import { type Output, run, until } from "../support/processes.ts";
import { makeSmallImage, type SmallImage } from "../support/small-image.ts";

let directory: TestFilesystem;
let image: SmallImage;
let root: string;

beforeAll(() => {
	directory = makeDirectory("lamella-cli-");
	image = makeSmallImage(directory.path);
	root = path.join(directory.path, "root");
});

afterAll(() => {
	directory[Symbol.dispose]();
});

/** With the environment, and the store as its state root. */
function tried(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Output {
	return run(command, args, { env: { ...process.env, LAMELLA_ROOT: root, ...env }, mayFail: true });
}

const lamella = (...words: string[]): Output => tried(process.execPath, [CLI, ...words]);

/** Must go well: gives stdout without its last line break. */
function ok(...words: string[]): string {
	const ended = lamella(...words);
	expect(ended, words.join(" ")).toMatchObject({ code: 0 });
	return ended.stdout.trimEnd();
}

function json<T>(...words: string[]): T {
	return JSON.parse(ok("--json", ...words)) as T;
}

/** On a terminal of 100 columns; its output and the exit code. */
function onTerminal(commandLine: string): { code: number | null; output: string } {
	const line = `stty cols 100 rows 30; ${process.execPath} ${CLI} ${commandLine}`;
	const { code, stdout } = tried("script", ["-qec", line, "/dev/null"], { TERM: "xterm" });
	return { code, output: stdout };
}

/** Ends with that code, and says so on stderr. */
function says(code: number, said: string | RegExp, ...words: string[]): void {
	const { code: actual, stderr } = lamella(...words);
	expect(stderr).toMatch(said);
	expect(actual).toBe(code);
}

describe("without a store", () => {
	test("lamella alone says what to do first", () => {
		const { code, stdout } = lamella();
		expect(code).toBe(0);
		expect(stdout).toContain("lamella import IMAGE.tar");
		expect(stdout).toContain("lamella help");
	});

	test("an unknown command or option is exit code 2, with what may have been meant", () => {
		says(2, "Did you mean create?", "creat");
		says(2, "--json", "images", "--jso");
		says(2, "lamella create --help", "create");
		says(2, "overlay, vfs", "images", "--driver", "zfs");
	});

	test("help is on stdout and goes well", () => {
		expect(lamella("help")).toMatchObject({ code: 0, stderr: "", stdout: expect.stringContaining("commit") });
		expect(lamella("diff", "--help").stdout).toContain("lamella diff web1 > layer.tar");
		expect(lamella("help", "diff").stdout).toBe(lamella("diff", "--help").stdout);
	});

	test("the version is one word with --version, and JSON with --json", () => {
		const { version } = json<{ version: string }>("version");
		expect(ok("--version")).toBe(version);
	});

	test("who is not root is told so", () => {
		const nobody = tried("setpriv", ["--reuid=65534", "--clear-groups", process.execPath, CLI, "images"]);
		expect(nobody.code).toBe(1);
		expect(nobody.stderr).toContain("needs root");
	});

	test("an empty state root is refused, by option and by environment, for reading and for serving", () => {
		const socket = path.join(directory.path, "s.sock");
		for (const words of [["images"], ["serve", "containerd", "--socket", socket]]) {
			says(2, "is empty", "--root", "", ...words);
			const { code, stderr } = tried(process.execPath, [CLI, ...words], { LAMELLA_ROOT: "" });
			expect(code).toBe(2);
			expect(stderr).toContain("LAMELLA_ROOT is empty");
		}
	});

	test("an output that is full or gone is told in one line, or not at all", () => {
		const redirected = (redirection: string, words: string) =>
			tried("bash", ["-c", `"$0" "$1" ${words} ${redirection}`, process.execPath, CLI]);
		for (const words of ["", "version", "--version", "help", "completion bash", "version --json"]) {
			const { code, stderr } = redirected(">/dev/full", words);
			expect({ words, code }).toEqual({ words, code: 1 });
			const text = words.includes("json") ? JSON.parse(stderr).error.message : stderr.trimEnd();
			expect(text).toMatch(/^(lamella: )?the output cannot be written: ENOSPC.*$/);
		}
		expect(redirected("2>/dev/full", "nonsense").code).toBe(2);
	});

	test("completion knows the commands", () => {
		expect(ok("completion", "bash")).toContain("lamella complete --");
		expect(ok("complete", "--", "ex")).toContain("export");
	});
});

test("an older Node is told in one line, before anything is loaded that it could not parse", () => {
	const pretend = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.20.2" } });
		(await import("node:module")).registerHooks({ load: (url, context, next) =>
			/\\/dist\\/(?!bin\\/lamella\\.js)/.test(url) ? { format: "module", source: "%", shortCircuit: true } : next(url, context) });`;
	const options = ["--import", `data:text/javascript,${encodeURIComponent(pretend)}`];
	const { code, stderr } = tried(process.execPath, [...options, CLI, "version"]);
	expect(stderr).toMatch(/^lamella: this needs Node 24 or later, and .* is Node 20\.20\.2; .*\n$/);
	expect(code).toBe(1);
	const { engines } = JSON.parse(readFileSync(path.resolve(CLI, "../../../package.json"), "utf8"));
	expect(engines.node).toBe(">=24");
});

test("compiled code imports compiled code", () => {
	// tsc 6 forgets to rewrite the extension of an import() in a function that has `using`.
	const lost = ["-rlE", "--include=*.js", 'import\\("\\.[^"]*\\.ts"\\)'];
	const { stdout } = tried("grep", [...lost, path.dirname(path.dirname(CLI))]);
	expect(stdout).toBe("");
});

describe("with an image", () => {
	test("a first look at an empty store says how to go on", () => {
		expect(ok("images")).toBe("");
		says(0, "lamella import", "images");
		expect(json("images")).toEqual([]);
	});

	test("a piped import tells each layer in a line on stderr and the image on stdout", () => {
		const { code, stdout, stderr } = lamella("import", image.archive, "--name", "box:1");
		expect({ code, stderr }).toMatchObject({ code: 0 });
		expect(stdout).toMatch(/^box:1 {2}[0-9a-f]{12} {2}2 layers, /);
		expect(stderr).toMatch(/^layer 1\/2 .*: /m);
		expect(stderr).toMatch(/^layer 2\/2 .*: /m);
		expect(stderr).not.toContain("\x1b");
	});

	test("what is here already is not read again", () => {
		const { stderr } = lamella("import", image.dockerArchive);
		expect(stderr.match(/already here/g)).toHaveLength(2);
	});

	test("an import on a terminal draws bars, and leaves plain text behind", () => {
		const other = path.join(directory.path, "terminal-root");
		const { code, output } = onTerminal(`--root ${other} import ${image.layout} --name box:1`);
		expect(code).toBe(0);
		expect(output).toMatch(/layer 1\/2 .*\[#{24}\]/);
		expect(output).toContain("box:1  ");
		rmSync(other, { recursive: true });
	});

	test("an archive can come in by a pipe", async () => {
		const child = spawn(process.execPath, [CLI, "import", "-", "--name", "box:stdin", "--quiet"], {
			env: { ...process.env, LAMELLA_ROOT: root },
			stdio: ["pipe", "pipe", "inherit"],
		});
		createReadStream(image.archive).pipe(child.stdin);
		const [code] = (await once(child, "exit")) as [number];
		expect(code).toBe(0);
		ok("rmi", "box:stdin");
	});

	test("lists are aligned tables, ids alone with --quiet, whole with --no-trunc, and JSON", () => {
		const [header = "", row = ""] = ok("images").split("\n");
		expect(header).toMatch(/^NAME +IMAGE ID +LAYERS +SIZE +PLATFORM +CREATED$/);
		expect(row.indexOf(row.split(/ {2,}/)[1] ?? "?")).toBe(header.indexOf("IMAGE ID"));
		const [first] = json<{ id: string; names: string[]; layers: { layer: string }[] }[]>("images");
		expect(first?.names).toContain("box:1");
		expect(ok("images", "-q")).toBe(first?.id);
		expect(ok("images", "--no-trunc")).toContain(first?.id);
		expect(
			json<{ id: string }[]>("layers")
				.map(({ id }) => id)
				.sort(),
		).toEqual(first?.layers.map(({ layer }) => layer).sort());
		expect(ok("tree")).toMatch(/\n└─ .*<- .*box:1/);
		expect(ok("status")).toMatch(/^Layers: +2 committed, 0 writable, 0 views$/m);
		expect(json<{ root: string }>("status").root).toBe(root);
	});

	test("the main job", () => {
		expect(ok("create", "web1", "box:1")).toBe("web1");
		const merged = ok("mount", "web1");
		expect(merged).not.toContain("\n");
		expect(ok("mount", "web1")).toBe(merged);
		writeFileSync(path.join(merged, "srv/hello"), "hello\n");
		rmSync(path.join(merged, "etc/issue"));
		expect(ok("changes", "web1").split("\n")).toEqual(["C /etc", "D /etc/issue", "C /srv", "A /srv/hello"]);
		expect(json("changes", "web1")).toContainEqual({ kind: "D", path: "/etc/issue" });

		const first = spawnSync(process.execPath, [CLI, "--root", root, "diff", "web1"]);
		expect(first.status).toBe(0);
		const file = path.join(directory.path, "layer.tar");
		expect(json("diff", "web1", "-o", file)).toEqual({
			layer: "web1",
			output: file,
			sizeBytes: first.stdout.length,
			warnings: [],
		});
		expect(readFileSync(file).equals(first.stdout)).toBe(true);
		expect(spawnSync("tar", ["-tf", file], { encoding: "utf8" }).stdout).toContain("etc/.wh.issue");

		const id = ok("commit", "web1", "box:2", "-m", "a greeting");
		expect(id).toMatch(/^sha256:/);
		expect(json<{ id: string; config: object }>("inspect", "box:2")).toMatchObject({ id, type: "image" });
		for (const format of ["oci", "docker", "oci-dir"]) {
			const output = path.join(directory.path, `out-${format}`);
			const { exportedAs } = json<{ exportedAs: string }>("export", "box:2", output, "--format", format);
			// Another id where the store cannot write a layer of the image's byte for byte as it came.
			expect(exportedAs).toMatch(/^sha256:/);
			expect(existsSync(output)).toBe(true);
		}

		const applied = ok("apply", "by-tar", file, "--parent", "box:1");
		expect(json("inspect", applied)).toMatchObject({ type: "layer", kind: "committed" });
		expect(lamella("flatten", "by-tar").code).toBe(0);
		expect(json("inspect", "by-tar")).toMatchObject({ flattened: true });

		expect(lamella("unmount", "web1").stderr).toContain("still mounted");
		expect(lamella("unmount", "web1").stderr).toBe("");
		expect(readdirSync(path.dirname(merged))).toBeDefined();
		ok("rm", "web1", "by-tar");
		expect(ok("rmi", "box:2")).toBe(`name box:2\nimage ${id}`);
		ok("cleanup");
	});

	test("checkpoints: keep, go on, go back, and go on in several directions", () => {
		ok("create", "work", "box:1");
		const merged = ok("mount", "work");
		writeFileSync(path.join(merged, "srv/one"), "1\n");
		expect(ok("checkpoint", "work")).toBe("work@1");
		writeFileSync(path.join(merged, "srv/two"), "2\n");
		expect(json("checkpoint", "work", "second")).toMatchObject({ id: "second", parent: "work@1" });
		writeFileSync(path.join(merged, "srv/three"), "3\n");
		expect(ok("changes", "work", "--since", "work@1").split("\n")).toEqual([
			"C /srv",
			"A /srv/three",
			"A /srv/two",
		]);

		const open = openSync(path.join(merged, "srv/open"), "w");
		const refused = lamella("checkpoint", "work");
		expect(refused.code).toBe(4);
		expect(refused.stderr).toContain(`(pid ${process.pid}, /srv/open)`);
		closeSync(open);

		lamella("rollback", "work");
		expect(readdirSync(path.join(merged, "srv")).sort()).toEqual(["one", "two"]);
		expect(ok("fork", "work", "try", "--count", "3").split("\n")).toEqual(["try-1", "try-2", "try-3"]);
		expect(json("log", "work")).toMatchObject([
			{ id: "second", named: true, forks: ["try-1", "try-2", "try-3"] },
			{ id: "work@1", named: false, forks: [] },
		]);
		expect(ok("log", "work")).toMatch(/^CHECKPOINT +CREATED .*\nsecond .* try-1, try-2, try-3\nwork@1 /);
		expect(lamella("rm", "second").stderr).toContain("layers on top of it");
		expect(lamella("fork", "work", "a", "b", "--count", "2").code).toBe(2);
		ok("checkpoint", "try-1");
		ok("squash", "try-1");
		ok("unmount", "work");
		ok("rm", "work", "try-1", "try-2", "try-3");
		ok("rm", "second");
		expect(ok("layers", "--quiet")).not.toMatch(/work|try|second/);
	});
});

describe("names out of images", () => {
	const hostile = "evil\x1b[2J\nname";

	test("are escaped on a terminal and are the bytes they are in a pipe", () => {
		ok("create", "names", "box:1");
		const merged = ok("mount", "names");
		writeFileSync(path.join(merged, hostile), "");
		writeFileSync(Buffer.concat([Buffer.from(`${merged}/latin-`), Buffer.from([0xe9])]), "");

		const { output } = onTerminal("changes names");
		expect(output).toContain("A /evil\\x1b[2J\\x0aname");
		expect(output).toContain("A /latin-\\xe9");

		const piped = spawnSync(process.execPath, [CLI, "--root", root, "changes", "names", "-z"]).stdout;
		expect(piped.includes(`A /${hostile}\0`)).toBe(true);
		expect(piped.includes(Buffer.from([0x2d, 0xe9, 0]))).toBe(true);
		expect(json("changes", "names")).toContainEqual({
			kind: "A",
			path: "/latin-\ufffd",
			pathBase64: Buffer.from([...Buffer.from("/latin-"), 0xe9]).toString("base64"),
		});
		ok("unmount", "names");
		ok("rm", "names");
	});
});

describe("when something is wrong", () => {
	test("what is not there is exit code 3, and what was meant is guessed", () => {
		says(3, /^lamella: .*nothing/, "changes", "nothing");
		expect(lamella("create", "x", "box:9").code).toBe(3);
		expect(lamella("import", path.join(directory.path, "missing.tar")).code).toBe(3);
	});

	test("what is in the way is exit code 4", () => {
		ok("create", "busy", "box:1");
		expect(lamella("create", "busy", "box:1").code).toBe(4);
		ok("mount", "busy");
		says(4, "mounted", "rm", "busy");
		// By id: by name only the name would go, as the image has two.
		const id = json<{ id: string }>("inspect", "box:1").id;
		says(4, "busy", "rmi", id);
		ok("rm", "--force", "busy");
	});

	test("of several names the good ones are done", () => {
		ok("create", "one", "box:1");
		const { code, stdout, stderr } = lamella("rm", "none", "one");
		expect({ code, stdout }).toEqual({ code: 3, stdout: "one\n" });
		expect(stderr).toContain("none");
	});

	test.each(["", ".", "..", "a/b", "-x\0"])("%j cannot name a layer", (name) => {
		const words = name.includes("\0") ? ["--", "-x"] : ["--", name];
		expect(lamella("create", ...words, "box:1").code).toBe(2);
	});

	test("what is left out is said on stderr and with --json, and a change that cannot be said needs an option", () => {
		ok("create", "odd");
		const mounted = ok("mount", "odd");
		for (const name of [".wh.a", ".wh.b"]) writeFileSync(path.join(mounted, name), "");
		const warning = 'lamella: warning: names that begin with ".wh." are left out';
		says(0, warning, "diff", "odd");
		const commit = lamella("--json", "commit", "odd", "odd:1");
		expect(commit.stderr).toContain(warning);
		expect(JSON.parse(commit.stdout).warnings).toEqual([
			expect.objectContaining({ kind: "whiteout-name", count: 2, path: ".wh.a" }),
		]);
		ok("unmount", "odd");
		ok("rmi", "odd:1");
		ok("rm", "odd");
	});

	test("an archive is not for a terminal", () => {
		ok("create", "tty", "box:1");
		for (const words of ["diff tty", "export box:1 -", "import -"]) expect(onTerminal(words).code).toBe(2);
		expect(onTerminal("diff tty").output).toContain("not for a terminal");
		ok("rm", "tty");
	});

	test("a damaged archive leaves nothing behind", () => {
		const broken = path.join(directory.path, "broken.tar");
		const whole = readFileSync(image.dockerArchive);
		writeFileSync(broken, whole.subarray(0, whole.length / 2));
		const before = ok("layers", "--json");
		const { code, stderr } = lamella("import", broken, "--name", "broken:1");
		expect(code).toBe(1);
		expect(stderr).toMatch(/^lamella: /m);
		expect(stderr).not.toContain("fault in lamella");
		expect(ok("layers", "--json")).toBe(before);
	});

	test("with --json a failure is a document on stderr, and with --debug the stack is told", () => {
		const { stdout, stderr } = lamella("--json", "inspect", "nothing");
		expect(stdout).toBe("");
		expect(JSON.parse(stderr)).toMatchObject({ error: { code: "ENOTFOUND", layer: "nothing" } });
		const errorOf = (...words: string[]): string => JSON.parse(lamella(...words).stderr).error.code;
		expect(errorOf("images", "--json", "--nonsense")).toBe("EINVALID");
		expect(errorOf("rm", "nothing", "--json")).toBe("ENOTFOUND");
		expect(errorOf("run", "--json", "nothing", "true")).toBe("ENOTFOUND");
		expect(lamella("run", "--json", "nothing", "true").code).toBe(125);
		expect(lamella("--debug", "inspect", "nothing").stderr).toMatch(/\n {4}at /);
		expect(lamella("inspect", "nothing").stderr).not.toMatch(/\n {4}at /);
	});

	test("a reader that goes away is no fault", () => {
		ok("create", "pipe", "box:1");
		const merged = ok("mount", "pipe");
		writeFileSync(path.join(merged, "big"), Buffer.alloc(4 << 20, 1));
		const line = `"$0" "$1" diff pipe | head -c 10 >/dev/null; echo "\${PIPESTATUS[0]}"`;
		const { stdout, stderr } = tried("bash", ["-c", line, process.execPath, CLI]);
		expect({ stdout, stderr }).toEqual({ stdout: "141\n", stderr: "" });
		ok("unmount", "pipe");
		ok("rm", "pipe");
	});

	test("Ctrl-C stops an import and nothing partial stays", async () => {
		const before = ok("layers", "--json");
		const child = spawn(process.execPath, [CLI, "import", "-", "--name", "box:never"], {
			env: { ...process.env, LAMELLA_ROOT: root },
			stdio: ["pipe", "ignore", "pipe"],
		});
		let stderr = "";
		child.stderr.setEncoding("utf8").on("data", (text: string) => {
			stderr += text;
		});
		child.stdin.on("error", () => undefined);
		const archive = readFileSync(image.archive);
		child.stdin.write(archive.subarray(0, archive.length >> 1));
		const staging = path.join(root, "staging");
		// The store is open once its spool or staging is there; then the process listens for signals too.
		await until(
			"the store",
			() => child.exitCode !== null || (existsSync(staging) && child.stdin.writableLength === 0),
		);
		child.kill("SIGINT");
		const [code] = (await once(child, "close")) as [number];
		expect({ code, stderr }).toEqual({
			code: 130,
			stderr: "lamella: interrupted; nothing partial was kept\n",
		});
		expect(ok("layers", "--json")).toBe(before);
		expect(readdirSync(staging)).toEqual([]);
	});
});
