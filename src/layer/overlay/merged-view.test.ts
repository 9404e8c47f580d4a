import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import * as linux from "../../linux/index.ts";
import { Workplace } from "../testing/overlay-mount.ts";
import { MergedView } from "./merged-view.ts";

function shell(cwd: string, script: string): void {
	execFileSync("bash", ["-euc", script], { cwd });
}

function components(path: string): Buffer[] {
	return path === "" ? [] : path.split("/").map((name) => Buffer.from(name));
}

function names(view: MergedView, path: string): string[] | undefined {
	return view.readDirectory(components(path))?.map(({ name }) => linux.escapePath(name));
}

test("lookups and listings are those of overlayfs", () => {
	using place = new Workplace();
	const bottom = place.make("bottom");
	shell(
		bottom,
		"mkdir -p d/e file-below o; touch d/a d/gone d/e/x file-below/hidden o/hidden both; ln -s d link",
	);
	const middle = place.make("middle");
	shell(
		middle,
		"mkdir -p d o; mknod d/gone c 0 0; touch file-below d/m; setfattr -n trusted.overlay.opaque -v y o; touch o/n",
	);
	const top = place.make("top");
	shell(top, "mkdir -p d file-below o; touch d/t both; mknod link c 0 0");
	const lowers = [top, middle, bottom];
	const { merged } = place.mount(lowers);
	using view = new MergedView(lowers);
	for (const path of ["", "d", "d/e", "o", "file-below"]) {
		const listed = execFileSync("ls", ["-A", `${merged}/${path}`], {
			encoding: "utf8",
			env: { LC_ALL: "C" },
		});
		expect(names(view, path)).toEqual(listed.split("\n").filter((name) => name !== ""));
	}
	for (const path of ["d/gone", "link", "file-below/hidden", "o/hidden", "both/x", "none/x"]) {
		expect(view.lookup(components(path))).toBeUndefined();
	}
	expect(view.lookup(components("both"))?.layerIndex).toBe(0);
	expect(view.lookup(components("d/m"))?.layerIndex).toBe(1);
	expect(view.lookup(components("d/e/x"))?.layerIndex).toBe(2);
	expect(view.lookup([])?.stat.ino).toBe(linux.fstatat(linux.AT_FDCWD, top).ino);
	const found = view.lookup(components("d/a"));
	expect(found && linux.fstatat(found.directoryFd, found.name).ino).toBe(found?.stat.ino);
});
