import { mkdirSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { makeFilesystem } from "../../test/support/filesystems.ts";
import * as linux from "../linux/index.ts";
import { idMappedMountProblem } from "./idmapped-mounts.ts";

it("finds that ext4 can be mounted with other owners, and overlayfs itself cannot", () => {
	using filesystem = makeFilesystem("ext4", 64 * 2 ** 20);
	const at = (name: string): string => path.join(filesystem.path, name);
	expect(idMappedMountProblem(filesystem.path)).toBeUndefined();
	for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(at(name));
	const options = `lowerdir=${at("lower")},upperdir=${at("upper")},workdir=${at("work")}`;
	linux.mount("overlay", at("merged"), "overlay", 0, options);
	try {
		expect(idMappedMountProblem(at("merged"))).toMatch(/filesystem/);
	} finally {
		linux.umount2(at("merged"));
	}
});

it("says so of kernels before 5.19", () => {
	expect(idMappedMountProblem("/", "5.15.0-91-generic")).toMatch(/5\.19/);
	expect(idMappedMountProblem("/", "4.19.0")).toMatch(/5\.19/);
});
