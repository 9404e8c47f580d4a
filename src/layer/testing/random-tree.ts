/**
 * For tests: random trees with everything that a layer may carry. `randomTree()` is a fast-check arbitrary of plain
 * descriptions; `makeTree` puts one on disk, into a directory that exists.
 *
 * Names come from a small set on purpose, so that two random trees laid over each other collide often.
 */
import fc from "fast-check";
import * as linux from "../../linux/index.ts";

interface Metadata {
	readonly mode: number;
	readonly uid: number;
	readonly gid: number;
	readonly mtimeNs: bigint;
	readonly xattrs: readonly (readonly [name: string, value: Buffer])[];
}

export interface FileSpec extends Metadata {
	readonly type: "file";
	/** Pieces of data at multiples of 64 KiB; what lies between them is a hole. */
	readonly pieces: readonly { readonly at: number; readonly data: Buffer }[];
	/** A hole of that many 64 KiB blocks at the end. */
	readonly tail: number;
}

export interface DirectorySpec extends Metadata {
	readonly type: "directory";
	readonly children: readonly (readonly [name: Buffer, node: NodeSpec])[];
}

export type NodeSpec =
	| FileSpec
	| DirectorySpec
	| (Metadata & { readonly type: "symlink"; readonly target: Buffer })
	| (Metadata & { readonly type: "fifo" })
	| (Metadata & { readonly type: "character" | "block"; readonly major: number; readonly minor: number });

export interface TreeSpec {
	readonly root: DirectorySpec;
	/** Hard links: the n-th non-directory (modulo) gets a further name in the m-th directory (modulo). */
	readonly links: readonly { readonly from: number; readonly into: number; readonly name: Buffer }[];
}

const BLOCK_BYTES = 65536;

const nodeName = fc.oneof(
	{
		weight: 12,
		arbitrary: fc.constantFrom("a", "b", "c", "d", "etc", "usr").map((name) => Buffer.from(name)),
	},
	{
		weight: 3,
		arbitrary: fc.constantFrom(
			Buffer.from("caf\u00e9", "latin1"),
			Buffer.from("\u00e4\u00f6\u00fc"),
			Buffer.from("white space"),
			Buffer.from("new\nline"),
			Buffer.from("back\\slash"),
			Buffer.from("-dash"),
			Buffer.from("..."),
			Buffer.from("x".repeat(255)),
			Buffer.from("long-".repeat(24)),
			Buffer.from([0xff, 0xfe, 0x01]),
		),
	},
);

const bytes = (maxLength: number): fc.Arbitrary<Buffer> =>
	fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));

const mtimeNs = fc.oneof(
	fc.bigInt({ min: 0n, max: 4_000_000_000_000_000_000n }),
	fc.bigInt({ min: -1_000_000_000_000_000_000n, max: 0n }),
	fc.constantFrom(0n, -1n, 1n, 1_000_000_000n, -1_500_000_000n, 1_700_000_000_123_456_789n),
);

const id = fc.oneof(
	{ weight: 3, arbitrary: fc.constant(0) },
	fc.constantFrom(1, 1000, 65534, 2_097_152, 4_000_000_000),
);

function metadata(xattrs: fc.Arbitrary<readonly (readonly [string, Buffer])[]>): fc.Arbitrary<Metadata> {
	const mode = fc.oneof(
		fc.constantFrom(0o644, 0o755, 0o4755, 0o2755, 0o1777, 0),
		fc.integer({ min: 0, max: 0o7777 }),
	);
	return fc.record({ mode, uid: id, gid: id, mtimeNs, xattrs });
}

const noXattrs = fc.constant<readonly (readonly [string, Buffer])[]>([]);
const trusted = fc.tuple(fc.constantFrom("trusted.a", "trusted.b"), bytes(12));
const user = fc.tuple(fc.constantFrom("user.mime", "user.empty", "user.caf\u00e9"), bytes(200));
const acl = fc.constantFrom<readonly [string, Buffer]>([
	"system.posix_acl_access",
	Buffer.from(
		"0200000001000600ffffffff02000400e803000004000400ffffffff10000400ffffffff20000400ffffffff",
		"hex",
	),
]);
const capability = fc.constantFrom<readonly [string, Buffer]>([
	"security.capability",
	Buffer.from("0100000200200000000000000000000000000000", "hex"),
]);

function xattrSet(
	...kinds: fc.Arbitrary<readonly [string, Buffer]>[]
): fc.Arbitrary<readonly (readonly [string, Buffer])[]> {
	const some = fc.uniqueArray(fc.oneof(...kinds), { maxLength: 3, selector: ([name]) => name });
	return fc.oneof({ weight: 3, arbitrary: noXattrs }, some);
}

const fileMetadata = metadata(xattrSet(user, trusted, acl, capability)).map((m) =>
	// The group bits of a file with an ACL are its mask, so a mode chosen apart from it cannot be kept.
	m.xattrs.some(([name]) => name === "system.posix_acl_access") ? { ...m, mode: 0o644 } : m,
);
const otherMetadata = metadata(xattrSet(trusted));

const file: fc.Arbitrary<FileSpec> = fc
	.tuple(
		fileMetadata,
		fc.oneof(
			{
				weight: 4,
				arbitrary: bytes(300).map((data) => ({ pieces: data.length > 0 ? [{ at: 0, data }] : [], tail: 0 })),
			},
			fc.record({
				pieces: fc
					.uniqueArray(fc.integer({ min: 0, max: 6 }), { maxLength: 3 })
					.chain((places) =>
						fc.tuple(
							...places
								.sort((a, b) => a - b)
								.map((at) => bytes(100).map((data) => ({ at, data: data.length ? data : Buffer.from("x") }))),
						),
					),
				tail: fc.integer({ min: 0, max: 2 }),
			}),
		),
	)
	.map(([m, content]) => ({ type: "file", ...m, ...content }));

const symlinkTarget = fc.oneof(
	fc
		.constantFrom("a", "../b", "/etc", "../../../../..", "/", "usr/a", "loop")
		.map((text) => Buffer.from(text)),
	fc.constant(Buffer.from("caf\u00e9/\u00fc", "latin1")),
	fc.constant(Buffer.from("t".repeat(400))),
);

const leaf: fc.Arbitrary<NodeSpec> = fc.oneof(
	{ weight: 6, arbitrary: file },
	{
		weight: 2,
		arbitrary: fc
			.tuple(otherMetadata, symlinkTarget)
			.map(([m, target]): NodeSpec => ({ type: "symlink", ...m, target })),
	},
	otherMetadata.map((m): NodeSpec => ({ type: "fifo", ...m })),
	fc
		.tuple(
			otherMetadata,
			fc.constantFrom("character" as const, "block" as const),
			fc.integer({ min: 1, max: 4095 }),
			fc.integer({ min: 0, max: 1_048_575 }),
		)
		.map(([m, type, major, minor]): NodeSpec => ({ type, ...m, major, minor })),
);

const directoryMetadata = metadata(xattrSet(user, trusted));

function directory(depth: number): fc.Arbitrary<DirectorySpec> {
	const child: fc.Arbitrary<NodeSpec> =
		depth === 0
			? leaf
			: fc.oneof({ weight: 3, arbitrary: leaf }, { weight: 2, arbitrary: directory(depth - 1) });
	return fc
		.tuple(
			directoryMetadata,
			fc.uniqueArray(fc.tuple(nodeName, child), {
				maxLength: 5,
				selector: ([name]) => name.toString("latin1"),
			}),
		)
		.map(([m, children]): DirectorySpec => ({ type: "directory", ...m, children }));
}

/** A random tree, `depth` directories deep at most. */
export function randomTree(depth = 3): fc.Arbitrary<TreeSpec> {
	const position = fc.nat({ max: 1000 });
	return fc.record({
		root: directory(depth),
		links: fc.array(fc.record({ from: position, into: position, name: nodeName }), { maxLength: 4 }),
	});
}

/** Makes the tree below `directory`, which exists and becomes the tree's root. Needs root. */
export function makeTree(directory: string, tree: TreeSpec): void {
	const rootFd = linux.openat(linux.AT_FDCWD, directory, linux.O_RDONLY | linux.O_DIRECTORY);
	const directories: { readonly fd: number; readonly spec: DirectorySpec }[] = [];
	const leaves: { readonly fd: number; readonly name: Buffer }[] = [];
	try {
		collect(rootFd, tree.root);
		for (const { from, into, name } of tree.links) {
			const leafPlace = leaves[from % Math.max(1, leaves.length)];
			const target = directories[into % directories.length];
			if (leafPlace === undefined || target === undefined) continue;
			if (linux.tryFstatat(target.fd, name) !== undefined) continue;
			linux.linkat(leafPlace.fd, leafPlace.name, target.fd, name);
		}
		for (const { fd, spec } of directories.toReversed()) {
			linux.fchown(fd, spec.uid, spec.gid);
			for (const [name, value] of spec.xattrs) linux.fsetxattr(fd, name, value);
			linux.fchmod(fd, spec.mode);
			linux.futimens(fd, spec.mtimeNs, spec.mtimeNs);
		}
	} finally {
		for (const { fd } of directories) linux.close(fd);
		if (directories.length === 0) linux.close(rootFd);
	}

	function collect(fd: number, spec: DirectorySpec): void {
		directories.push({ fd, spec });
		for (const [name, node] of spec.children) {
			if (node.type === "directory") {
				linux.mkdirat(fd, name, 0o700);
				collect(linux.openat(fd, name, linux.O_RDONLY | linux.O_DIRECTORY | linux.O_NOFOLLOW), node);
			} else {
				makeLeaf(fd, name, node);
				leaves.push({ fd, name });
			}
		}
	}
}

function makeLeaf(directoryFd: number, name: Buffer, node: Exclude<NodeSpec, DirectorySpec>): void {
	switch (node.type) {
		case "file":
			writeFile(directoryFd, name, node);
			break;
		case "symlink":
			linux.symlinkat(node.target, directoryFd, name);
			break;
		case "fifo":
			linux.mknodat(directoryFd, name, linux.S_IFIFO | 0o600, 0, 0);
			break;
		default: {
			const format = node.type === "character" ? linux.S_IFCHR : linux.S_IFBLK;
			linux.mknodat(directoryFd, name, format | 0o600, node.major, node.minor);
		}
	}
	linux.fchownat(directoryFd, name, node.uid, node.gid);
	for (const [xattr, value] of node.xattrs) linux.lsetxattrAt(directoryFd, name, xattr, value);
	if (node.type !== "symlink") linux.fchmodat(directoryFd, name, node.mode);
	linux.utimensat(directoryFd, name, node.mtimeNs, node.mtimeNs);
}

function writeFile(directoryFd: number, name: Buffer, node: FileSpec): void {
	const fd = linux.openat(directoryFd, name, linux.O_WRONLY | linux.O_CREAT | linux.O_EXCL, 0o600);
	try {
		let endBytes = 0;
		for (const { at, data } of node.pieces) {
			linux.pwrite(fd, data, 0, data.length, at * BLOCK_BYTES);
			endBytes = at * BLOCK_BYTES + data.length;
		}
		linux.ftruncate(fd, endBytes + node.tail * BLOCK_BYTES);
	} finally {
		linux.close(fd);
	}
}
