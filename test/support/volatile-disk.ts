/**
 * A disk with a volatile cache, for power cuts: what was written and not flushed may be lost, as a whole, in part, or not at
 * all. A filesystem on a loop device on a file of a FUSE filesystem, whose process (volatile-disk-process.ts) keeps apart
 * what was flushed. The loop driver passes the filesystem's flushes on as FSYNC.
 */
import { type ChildProcess, spawn } from "node:child_process";
import {
	closeSync,
	mkdirSync,
	mkdtempSync,
	openSync,
	readdirSync,
	readFileSync,
	readSync,
	rmSync,
	truncateSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { mountPoints, unmountBelow } from "./filesystems.ts";
import { run, until } from "./processes.ts";

const daemon = new URL("./volatile-disk-process.ts", import.meta.url).pathname;
const loader = new URL("../../scripts/ts.mjs", import.meta.url).href;

export interface VolatileDiskOptions {
	/** What each flush takes. Everything else of the disk waits meanwhile. */
	readonly flushDelayMs?: number;
	readonly mkfs?: readonly string[];
}

/** What survives of the writes since the last flush; left out, one is taken by the seed. */
export type Loss =
	| "all"
	| "none"
	/** Each write, each 4 KiB block or each sector with the same chance. */
	| "writes"
	| "blocks"
	| "sectors"
	/** All before some moment. */
	| "prefix";

export interface DiskCounts {
	readonly writes: number;
	readonly flushes: number;
	/** Requests since the cut. */
	readonly failed: number;
	/** Writes that were not flushed when the disk was cut, and are gone, at least in part. */
	readonly lost: number;
	readonly kept: number;
	/** Writes since the last flush. */
	readonly unflushed: number;
	readonly isCut: boolean;
}

export class VolatileDisk implements AsyncDisposable {
	/** Where the filesystem is mounted. */
	readonly path: string;
	/** Writing `cut SEED` to it cuts the disk: for a process that wants to choose the moment. */
	readonly control: string;
	readonly #type: "ext4" | "xfs";
	readonly #home: string;
	readonly #fuse: string;
	readonly #daemon: ChildProcess;

	private constructor(type: "ext4" | "xfs", home: string, daemon: ChildProcess) {
		this.#type = type;
		this.#home = home;
		this.#fuse = path.join(home, "fuse");
		this.#daemon = daemon;
		this.path = path.join(home, "mnt");
		this.control = path.join(this.#fuse, "control");
	}

	/** A disk with an empty filesystem, mounted. */
	static async make(
		type: "ext4" | "xfs",
		sizeBytes: number,
		options: VolatileDiskOptions & { readonly mountOptions?: string } = {},
	): Promise<VolatileDisk> {
		const home = mkdtempSync(path.join(tmpdir(), "lamella-disk-"));
		const files = { durable: path.join(home, "durable"), current: path.join(home, "current") };
		let disk: VolatileDisk | undefined;
		try {
			for (const name of ["fuse", "mnt"]) mkdirSync(path.join(home, name));
			writeFileSync(files.durable, "", { flag: "wx", mode: 0o600 });
			truncateSync(files.durable, sizeBytes);
			makeFilesystem(type, files.durable, options.mkfs);
			run("cp", ["--sparse=always", files.durable, files.current]);
			const delay = String(options.flushDelayMs ?? 0);
			const child = spawn(
				process.execPath,
				["--import", loader, daemon, path.join(home, "fuse"), files.durable, files.current, delay],
				{ stdio: ["ignore", "pipe", "inherit"] },
			);
			disk = new VolatileDisk(type, home, child);
			await ready(child);
			disk.mount(options.mountOptions);
			return disk;
		} catch (error) {
			if (disk !== undefined) await disk[Symbol.asyncDispose]();
			rmSync(home, { recursive: true, force: true });
			throw error;
		}
	}

	mount(mountOptions?: string): void {
		const own = this.#type === "xfs" ? ["nouuid"] : [];
		const all = ["loop", ...own, ...(mountOptions ? [mountOptions] : [])].join(",");
		run("mount", ["-t", this.#type, "-o", all, path.join(this.#fuse, "disk"), this.path]);
	}

	/**
	 * Cuts the power: when it returns, all that was not flushed has become what it will be, and the disk answers nothing but
	 * errors. Unmount it soon: sync(2) of everybody goes through it.
	 */
	cut(seed: number, loss?: Loss): void {
		this.#command(loss === undefined ? `cut ${seed}` : `cut ${seed} ${loss}`);
	}

	/** Unmounts the filesystem and all below it. What used it has to have ended. */
	async unmount(): Promise<void> {
		unmountBelow(this.path);
		await until(`the end of all that uses ${this.path}`, () => !this.#isAttached());
	}

	/** Ends a cut, and mounts what the disk has kept. */
	async restart(mountOptions?: string): Promise<void> {
		await this.unmount();
		this.#command("on");
		this.mount(mountOptions);
	}

	get counts(): DiskCounts {
		// In one read: the next one would be of other counts.
		const answer = Buffer.alloc(4096);
		const fd = openSync(this.control, "r");
		try {
			return JSON.parse(answer.toString("utf8", 0, readSync(fd, answer))) as DiskCounts;
		} finally {
			closeSync(fd);
		}
	}

	async [Symbol.asyncDispose](): Promise<void> {
		try {
			if (mountPoints().includes(this.#fuse)) await this.unmount();
		} finally {
			unmountBelow(this.#fuse);
			await ended(this.#daemon);
			rmSync(this.#home, { recursive: true, force: true });
		}
	}

	#command(text: string): void {
		writeFileSync(this.control, text, { flag: "r+" });
	}

	#isAttached(): boolean {
		const file = path.join(this.#fuse, "disk");
		return readdirSync("/sys/block").some((name) => backingFile(name) === file);
	}
}

function makeFilesystem(type: "ext4" | "xfs", image: string, mkfs: readonly string[] = []): void {
	// All at once: nothing is to be made in the background later.
	const options =
		type === "ext4"
			? ["-F", "-q", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"]
			: ["-f", "-q", "-K"];
	run(`mkfs.${type}`, [...options, ...mkfs, image]);
}

/** Of a loop device; undefined for what is none, or is not attached. */
function backingFile(device: string): string | undefined {
	try {
		return readFileSync(`/sys/block/${device}/loop/backing_file`, "utf8").trimEnd();
	} catch {
		// It may be detached just now.
		return undefined;
	}
}

async function ready(child: ChildProcess): Promise<void> {
	await new Promise<void>((resolve, reject) => {
		child.stdout?.once("data", () => resolve());
		child.once("error", reject);
		child.once("exit", (code) => reject(new Error(`the volatile disk's process ended with ${code}`)));
	});
}

/** Unmounting ends the process; where that did not come to pass, it is killed. */
async function ended(child: ChildProcess): Promise<void> {
	if (child.exitCode !== null || child.signalCode !== null) return;
	const end = new Promise<void>((resolve) => child.once("exit", () => resolve()));
	const timer = setTimeout(() => child.kill("SIGKILL"), 500);
	await end;
	clearTimeout(timer);
}
