import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import * as linux from "../../linux/index.ts";
import { Workplace } from "../testing/overlay-mount.ts";
import { joinComponents, MergedView, splitPath } from "./merged-view.ts";

function shell(cwd: string, script: string): void {
	execFileSync("bash", ["-euc", script], { cwd });
}

function components(path: string): Buffer[] {
	return splitPath(Buffer.from(path));
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

test("symbolic links are resolved within the merged root", () => {
	using place = new Workplace();
	const bottom = place.make("bottom");
	shell(
		bottom,
		"mkdir -p usr/bin real; ln -s usr/bin bin; ln -s /../../real abs; ln -s ../../../etc out; ln -s loop loop",
	);
	const top = place.make("top");
	shell(top, "ln -s /bin/../../real chain");
	using view = new MergedView([top, bottom]);
	const resolve = (path: string, followLast = true): string =>
		joinComponents(view.resolve(components(path), { followLast })).toString();
	expect(resolve("bin/sh")).toBe("usr/bin/sh");
	expect(resolve("abs/x")).toBe("real/x");
	expect(resolve("out/passwd")).toBe("etc/passwd");
	expect(resolve("chain/new/file")).toBe("real/new/file");
	expect(resolve("../../usr/./bin/../x")).toBe("usr/x");
	expect(resolve("bin", false)).toBe("bin");
	expect(() => resolve("loop/x")).toThrow(/more than 255 symbolic links/);
});

test("a view tells of new directories once it was told to forget", () => {
	using place = new Workplace();
	const lower = place.make("lower");
	shell(lower, "mkdir -p d/e");
	using view = new MergedView([lower]);
	expect(view.lookup(components("d/e"))).toBeDefined();
	shell(lower, "rm -r d; mkdir d; touch d/new");
	view.forget();
	expect(names(view, "d")).toEqual(["new"]);
});
