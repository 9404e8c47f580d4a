import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { complete, completionScript } from "./completion.ts";

const words = async (...typed: string[]): Promise<string[]> =>
	(await complete(typed)).map((line) => line.replace(/\t.*/, ""));

test("commands, options and choices are offered where they may stand", async () => {
	expect(await words("ex")).toEqual(["export"]);
	expect(await words("--root", "/x", "unm")).toEqual(["unmount"]);
	expect(await words("help", "comp")).toEqual(["completion"]);
	expect(await words("diff", "--wh")).toEqual(["--whole-seconds"]);
	expect(await words("images", "--js")).toEqual(["--json"]);
	expect(await words("export", "--format", "")).toEqual(["oci", "docker", "oci-dir"]);
	expect(await words("export", "--format", "=", "d")).toEqual(["docker"]);
	expect(await words("serve", "c")).toEqual(["containerd"]);
	expect(await words("completion", "")).toEqual(["bash", "zsh", "fish"]);
	expect(await words("nonsense", "")).toEqual([]);
	expect((await complete(["vers"]))[0]).toBe("version\tprint the version");
});

test("files are offered where a path is due, and only there", async () => {
	for (const typed of [
		["import", ""],
		["import", "--name", "x", "deb"],
		["export", "debian:demo", ""],
		["apply", "base", "./r"],
		["--root", "/va"],
		["images", "--root", ""],
		["diff", "web1", "-o", ""],
		["run", "web1", "cat", ""],
	]) {
		expect(await words(...typed), typed.join(" ")).toEqual([":files"]);
	}
	expect(await words("rm", "")).toEqual([]);
	expect(await words("export", "")).toEqual([]);
	expect(await words("import", "--name", "")).toEqual([]);
});

test.each(["bash", "zsh", "fish"] as const)(
	"the script of %s is one that the shell takes, twice",
	(shell) => {
		if (spawnSync(shell, ["-c", "exit 0"]).error !== undefined) return;
		const script = completionScript(shell);
		const { status, stderr } = spawnSync(shell, ["-c", `${script}\n${script}`], { encoding: "utf8" });
		expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
	},
);

test("bash offers what the program answers, and its own files", () => {
	const script = `lamella() {
		case "$*" in
		"complete -- ex") printf 'export\\twrite an image\\n' ;;
		"complete -- import /etc/host") echo :files ;;
		esac
	}
	${completionScript("bash").repeat(2)}
	try() { COMP_WORDS=(lamella "$@"); COMP_CWORD=$#; _lamella; echo "\${COMPREPLY[@]}"; }
	try ex
	try import /etc/host`;
	const { stdout, stderr } = spawnSync("bash", ["-c", script], { encoding: "utf8" });
	expect(stderr).toBe("");
	const [commands, files] = stdout.split("\n");
	expect(commands).toBe("export");
	expect(files?.split(" ")).toContain("/etc/hosts");
});

test("another shell is told which there are", () => {
	expect(() => completionScript("tcsh")).toThrow("bash, zsh, fish");
	expect(() => completionScript(undefined)).toThrow("bash, zsh, fish");
});
