// Compiles native/linux.c to dist/native/lamella-linux-<arch>.node with the C compiler alone: no node-gyp, no
// libc in the result. Skips when the binary is newer than its sources. CC chooses the compiler.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import headers from "node-api-headers";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const source = path.join(root, "native/linux.c");
const arch = process.env.LAMELLA_NATIVE_ARCH ?? process.arch;
const target = path.join(root, `dist/native/lamella-linux-${arch}.node`);
const compiler = process.env.CC || "cc";
const modifiedMs = (file) => fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

if (process.platform !== "linux") {
	console.error(`lamella runs on Linux only, not on ${process.platform}`);
	process.exit(1);
}
const newest = Math.max(modifiedMs(source), modifiedMs(fileURLToPath(import.meta.url)));
if (!process.argv.includes("--force") && modifiedMs(target) > newest) process.exit(0);

fs.mkdirSync(path.dirname(target), { recursive: true });
// Made aside and renamed: a process that has the old binary mapped keeps it, and none sees half a file.
const aside = `${target}.${process.pid}`;
const args = [
	"-std=gnu11",
	"-O2",
	"-Wall",
	"-Wextra",
	"-shared",
	"-fPIC",
	"-fvisibility=hidden",
	"-ffreestanding",
	"-fno-stack-protector",
	"-fno-strict-aliasing",
	"-nostdlib",
	"-Wl,-z,now,-z,relro,-z,noexecstack,--build-id=none",
	"-DNAPI_VERSION=8",
	`-I${headers.include_dir}`,
	"-o",
	aside,
	source,
];
const result = spawnSync(compiler, args, { stdio: ["ignore", "inherit", "inherit"] });
if (result.error !== undefined) {
	console.error(
		result.error.code === "ENOENT"
			? `no C compiler: "${compiler}" was not found. Install one (Debian: apt install gcc linux-libc-dev; Alpine: apk add gcc musl-dev linux-headers) or set CC, then run npm run build:native again.`
			: `cannot run ${compiler}: ${result.error.message}`,
	);
	process.exit(1);
}
if (result.status !== 0) {
	fs.rmSync(aside, { force: true });
	console.error(`${compiler} could not compile native/linux.c (its messages are above)`);
	process.exit(1);
}
fs.renameSync(aside, target);
console.log(`built ${path.relative(root, target)} (${fs.statSync(target).size} bytes)`);
