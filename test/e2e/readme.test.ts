/** The examples of README.md, docs/running-containers.md and docs/agents.md do what they say: each block marked "runs in CI" is run. */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeDirectory, type TestFilesystem } from "../support/filesystems.ts";
import { makeSmallImage } from "../support/small-image.ts";

const REPOSITORY = path.resolve(import.meta.dirname, "../..");
const MARKED = /<!-- runs in CI[^>]*-->\n```(\w+)\n(.*?)```/gs;

let directory: TestFilesystem;

beforeAll(() => {
	directory = makeDirectory("lamella-readme-");
	copyFileSync(
		makeSmallImage(directory.path, "debian:demo").dockerArchive,
		path.join(directory.path, "debian.tar"),
	);
	const bin = path.join(directory.path, "bin");
	mkdirSync(bin);
	symlinkSync(path.join(REPOSITORY, "dist/bin/lamella.js"), path.join(bin, "lamella"));
	mkdirSync(path.join(directory.path, "node_modules"));
	symlinkSync(REPOSITORY, path.join(directory.path, "node_modules/lamella"));
});

afterAll(() => {
	directory[Symbol.dispose]();
});

function blocks(page: string, language: string): string[] {
	const text = readFileSync(path.join(REPOSITORY, page), "utf8");
	return [...text.matchAll(MARKED)].flatMap(([, found, code]) =>
		found === language && code !== undefined ? [code] : [],
	);
}

function runIn(command: string, args: readonly string[]): string {
	const { status, stdout, stderr } = spawnSync(command, args, {
		cwd: directory.path,
		env: {
			...process.env,
			LAMELLA_ROOT: path.join(directory.path, "root"),
			PATH: `${directory.path}/bin:${process.env.PATH}`,
		},
		encoding: "utf8",
	});
	expect({ status, stderr }, stderr).toMatchObject({ status: 0 });
	return stdout;
}

test("README's shell example", () => {
	const [example, ...more] = blocks("README.md", "sh");
	expect(more).toEqual([]);
	const output = runIn("bash", ["-euc", example ?? ""]);
	expect(output).toContain("A /srv/hello\n");
	expect(output).toContain("D /etc/issue\n");
	expect(output).toContain("\nhello\n");
});

test("README's library example", () => {
	const [example] = blocks("README.md", "js");
	const file = path.join(directory.path, "example.mjs");
	writeFileSync(file, example ?? "");
	expect(runIn(process.execPath, [file])).toContain("A /srv/result\n");
});

test("the runc example of docs/running-containers.md", () => {
	const [example] = blocks("docs/running-containers.md", "sh");
	const output = runIn("bash", ["-euc", example ?? ""]);
	expect(output).toContain("uid=0");
	expect(output).toContain("A /srv/made\n");
});

test("the examples of docs/agents.md", () => {
	const [shell] = blocks("docs/agents.md", "sh");
	const output = runIn("bash", ["-euc", `lamella import debian.tar --name debian:demo > imported\n${shell}`]);
	expect(output).toContain("D /etc\n");
	expect(output).toContain("\ntry-8\n");
	expect(output).toMatch(/\ninstalled .* try-1, try-2,/);

	// A repository in which each try passes one more test.
	const repository = `mkdir /repo
echo 'echo passed >> /repo/passed' > /repo/propose-a-change
echo 'cat /repo/passed 2>/dev/null | wc -l' > /repo/test
chmod +x /repo/propose-a-change /repo/test
sed -i '1i #!/bin/sh' /repo/propose-a-change /repo/test`;
	runIn("lamella", ["run", "work", "--", "sh", "-ec", repository]);
	const [search] = blocks("docs/agents.md", "js");
	const file = path.join(directory.path, "search.mjs");
	writeFileSync(file, (search ?? "").replaceAll("50", "2"));
	expect(runIn(process.execPath, [file])).toContain("A /repo/passed\n");
});
