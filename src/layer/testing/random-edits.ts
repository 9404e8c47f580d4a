/**
 * For tests: random edits of a tree, as a container makes them: through the file system, by paths. An edit is
 * plain data; which file it hits is a number that is taken modulo what the tree has by then.
 */
import { execFileSync } from "node:child_process";
import fc from "fast-check";
import * as linux from "../../linux/index.ts";

const CWD = linux.AT_FDCWD;
const SLASH = Buffer.from("/");

const KINDS = [
	"write",
	"append",
	"rewriteUnseen",
	"openOnly",
	"delete",
	"delete",
	"makeDirectory",
	"replaceByFile",
	"replaceByDirectory",
	"recreateDirectory",
	"move",
	"link",
	"symlink",
	"fifo",
	"device",
	"chmod",
	"chown",
	"setuid",
	"xattr",
	"removeXattrs",
	"touch",
	"sparse",
	"comeAndGo",
] as const;

export interface Edit {
	readonly kind: (typeof KINDS)[number];
	/** Which existing path; any number. */
	readonly at: number;
	/** Which existing directory, for what makes a new name; any number. */
	readonly into: number;
	readonly name: Buffer;
	readonly data: Buffer;
}

const name = fc
	.constantFrom("a", "b", "c", "d", "etc", "new", "new2", "caf\u00e9")
	.map((text) => Buffer.from(text));

/** A list of edits. */
export function randomEdits(maxLength = 12): fc.Arbitrary<readonly Edit[]> {
	const edit = fc.record({
		kind: fc.constantFrom(...KINDS),
		at: fc.nat({ max: 9999 }),
		into: fc.nat({ max: 9999 }),
		name: fc.oneof(name, fc.constant(Buffer.from("caf\u00e9", "latin1"))),
		data: fc.uint8Array({ minLength: 1, maxLength: 40 }).map((array) => Buffer.from(array)),
	});
	return fc.array(edit, { maxLength });
}

/** Makes the edits in the tree at `root`, in order; one that finds nothing to work on is left out. */
export function applyEdits(root: string, edits: readonly Edit[]): void {
	for (const edit of edits) new Editor(Buffer.from(root), edit).run();
}

interface Found {
	readonly path: Buffer;
	readonly stat: linux.Stat;
}

class Editor {
	readonly #root: Buffer;
	readonly #edit: Edit;
	readonly #found: Found[] = [];

	constructor(root: Buffer, edit: Edit) {
		this.#root = root;
		this.#edit = edit;
		this.#collect(root);
	}

	run(): void {
		const { data } = this.#edit;
		const actions: Record<Edit["kind"], () => void> = {
			write: () => this.#atNew((path) => writeFile(path, data)),
			append: () =>
				this.#atFile(({ path, stat }) => {
					withFile(path, linux.O_WRONLY, (fd) => linux.pwrite(fd, data, 0, data.length, stat.sizeBytes));
				}),
			rewriteUnseen: () => this.#atFile(rewriteUnseen),
			openOnly: () => this.#atFile(({ path }) => withFile(path, linux.O_RDWR, () => undefined)),
			delete: () => this.#at(isAny, ({ path }) => removeAll(path)),
			makeDirectory: () => this.#atNew((path) => linux.mkdirat(CWD, path, 0o755)),
			replaceByFile: () =>
				this.#at(isDirectory, ({ path }) => {
					removeAll(path);
					writeFile(path, data);
				}),
			replaceByDirectory: () =>
				this.#at(isNoDirectory, ({ path }) => {
					removeAll(path);
					linux.mkdirat(CWD, path, 0o700);
					writeFile(join(path, this.#edit.name), data);
				}),
			recreateDirectory: () => this.#at(isDirectory, ({ path }) => this.#recreate(path)),
			move: () => this.#at(isAny, ({ path }) => this.#move(path)),
			link: () =>
				this.#at(isNoDirectory, ({ path }) => {
					this.#atNew((target) => linux.linkat(CWD, path, CWD, target));
				}),
			symlink: () =>
				this.#atNew((path) =>
					linux.symlinkat(
						data.map((byte) => byte || 1),
						CWD,
						path,
					),
				),
			fifo: () => this.#atNew((path) => linux.mknodat(CWD, path, linux.S_IFIFO | 0o644, 0, 0)),
			device: () => this.#atNew((path) => linux.mknodat(CWD, path, linux.S_IFCHR | 0o640, 1, data[0] ?? 3)),
			chmod: () =>
				this.#at(hasMode, ({ path, stat }) => linux.fchmodat(CWD, path, (stat.mode ^ 0o055) & 0o7777)),
			setuid: () =>
				this.#at(hasMode, ({ path, stat }) => linux.fchmodat(CWD, path, (stat.mode | 0o6000) & 0o7777)),
			chown: () => this.#at(isAny, ({ path }) => linux.fchownat(CWD, path, data[0] ?? 0, data.length)),
			xattr: () => this.#at(isAny, ({ path }) => linux.lsetxattrAt(CWD, path, "trusted.edited", data)),
			removeXattrs: () => this.#at(isAny, ({ path }) => removeXattrs(path)),
			touch: () =>
				this.#at(isAny, ({ path }) => {
					linux.utimensat(CWD, path, 1n, BigInt(data[0] ?? 0) * 1_000_000_001n);
				}),
			sparse: () => this.#atNew((path) => writeSparse(path, data)),
			comeAndGo: () =>
				this.#atNew((path) => {
					writeFile(path, data);
					removeAll(path);
				}),
		};
		actions[this.#edit.kind]();
	}

	/** Takes a directory away and makes it anew, with some of the names that it had. */
	#recreate(path: Buffer): void {
		const names = withFile(path, linux.O_RDONLY | linux.O_DIRECTORY, (fd) => linux.readDirectory(fd));
		removeAll(path);
		linux.mkdirat(CWD, path, 0o755);
		for (const [index, { name: child }] of names.entries()) {
			if ((this.#edit.into + index) % 3 === 0) writeFile(join(path, child), this.#edit.data);
			if ((this.#edit.into + index) % 3 === 1) linux.mkdirat(CWD, join(path, child), 0o755);
		}
	}

	#move(path: Buffer): void {
		this.#atNew((target) => {
			if (Buffer.concat([target, SLASH]).indexOf(Buffer.concat([path, SLASH])) === 0) return;
			try {
				linux.renameat2(CWD, path, CWD, target, linux.RENAME_NOREPLACE);
			} catch (error) {
				// A directory that a lower has: mv(1) copies it then, and so must everybody else.
				if (!linux.isSystemError(error, "EXDEV")) throw error;
				// Buffers cannot be arguments; the shell takes the bytes from its input.
				execFileSync("xargs", ["-0", "cp", "-a", "--"], {
					input: Buffer.concat([path, Buffer.of(0), target, Buffer.of(0)]),
				});
				removeAll(path);
			}
		});
	}

	#at(suits: (stat: linux.Stat) => boolean, act: (found: Found) => void): void {
		const candidates = this.#found.filter(({ stat }) => suits(stat));
		const found = candidates[this.#edit.at % Math.max(1, candidates.length)];
		if (found !== undefined) act(found);
	}

	#atFile(act: (found: Found) => void): void {
		this.#at((stat) => linux.isRegular(stat), act);
	}

	/** A name that does not exist yet, in some directory. */
	#atNew(act: (path: Buffer) => void): void {
		const directories = [
			this.#root,
			...this.#found.filter(({ stat }) => isDirectory(stat)).map(({ path }) => path),
		];
		const directory = directories[this.#edit.into % directories.length] ?? this.#root;
		const path = join(directory, this.#edit.name);
		const free = linux.tryFstatat(CWD, directory) !== undefined && linux.tryFstatat(CWD, path) === undefined;
		if (free) act(path);
	}

	#collect(directory: Buffer): void {
		const names = withFile(directory, linux.O_RDONLY | linux.O_DIRECTORY, (fd) => linux.readDirectory(fd));
		for (const { name: child } of names.sort((a, b) => Buffer.compare(a.name, b.name))) {
			const path = join(directory, child);
			const stat = linux.fstatat(CWD, path);
			this.#found.push({ path, stat });
			if (linux.isDirectory(stat)) this.#collect(path);
		}
	}
}

function isAny(): boolean {
	return true;
}

function isDirectory(stat: linux.Stat): boolean {
	return linux.isDirectory(stat);
}

function isNoDirectory(stat: linux.Stat): boolean {
	return !linux.isDirectory(stat);
}

function hasMode(stat: linux.Stat): boolean {
	return !linux.isSymlink(stat);
}

function join(directory: Buffer, child: Buffer): Buffer {
	return Buffer.concat([directory, SLASH, child]);
}

function withFile<T>(path: Buffer, flags: number, act: (fd: number) => T): T {
	const fd = linux.openat(CWD, path, flags | linux.O_NOFOLLOW, 0o644);
	try {
		return act(fd);
	} finally {
		linux.close(fd);
	}
}

function writeFile(path: Buffer, data: Buffer): void {
	withFile(path, linux.O_WRONLY | linux.O_CREAT | linux.O_TRUNC, (fd) => linux.write(fd, data));
}

function writeSparse(path: Buffer, data: Buffer): void {
	withFile(path, linux.O_WRONLY | linux.O_CREAT, (fd) => {
		linux.pwrite(fd, data, 0, data.length, 1 << 20);
		linux.ftruncate(fd, 3 << 20);
	});
}

/** Other content of the same size, with the mtime put back: what a comparison by stat does not see. */
function rewriteUnseen({ path, stat }: Found): void {
	if (stat.sizeBytes === 0 || stat.sizeBytes > 1 << 16) return;
	const content = Buffer.alloc(stat.sizeBytes);
	withFile(path, linux.O_RDWR, (fd) => {
		linux.pread(fd, content, 0, content.length, 0);
		linux.pwrite(
			fd,
			content.map((byte) => byte ^ 0xff),
			0,
			content.length,
			0,
		);
	});
	linux.utimensat(CWD, path, stat.atimeNs, stat.mtimeNs);
}

function removeXattrs(path: Buffer): void {
	for (const xattr of linux.llistxattrAt(CWD, path)) {
		if (!xattr.toString("latin1").startsWith("system.")) linux.lremovexattrAt(CWD, path, xattr);
	}
}

function removeAll(path: Buffer): void {
	const stat = linux.fstatat(CWD, path);
	if (!linux.isDirectory(stat)) {
		linux.unlinkat(CWD, path);
		return;
	}
	const names = withFile(path, linux.O_RDONLY | linux.O_DIRECTORY, (fd) => linux.readDirectory(fd));
	for (const { name: child } of names) removeAll(join(path, child));
	linux.unlinkat(CWD, path, linux.AT_REMOVEDIR);
}
