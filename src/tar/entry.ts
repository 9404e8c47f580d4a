/**
 * What one member of a tar archive is, apart from how its header was written.
 *
 * Names, link targets and xattrs are bytes exactly as the archive has them: nothing here cleans a path.
 */

export type TarEntryType = "file" | "hardlink" | "symlink" | "character" | "block" | "directory" | "fifo";

/** An extended attribute; POSIX ACLs are the xattrs system.posix_acl_access and system.posix_acl_default. */
export interface Xattr {
	readonly name: Buffer;
	readonly value: Buffer;
}

/** A piece of a sparse file that holds data; what lies between pieces is a hole. */
export interface DataExtent {
	readonly offset: number;
	readonly sizeBytes: number;
}

export interface TarEntry {
	/** As in the archive: may begin with `./` or `/`, may end with `/`, may hold `..`. Never empty, no NUL. */
	readonly path: Buffer;
	readonly type: TarEntryType;
	/** Permission bits with setuid, setgid and sticky: 0 to 0o7777. */
	readonly mode: number;
	readonly uid: number;
	readonly gid: number;
	readonly uname?: Buffer | undefined;
	readonly gname?: Buffer | undefined;
	/** Length of the file's content with its holes; 0 unless it is a regular file. */
	readonly sizeBytes: number;
	/** Nanoseconds since 1970; may be negative. */
	readonly mtimeNs: bigint;
	readonly atimeNs?: bigint | undefined;
	readonly ctimeNs?: bigint | undefined;
	/** Target of a hard link or symbolic link; empty for the rest. */
	readonly linkPath: Buffer;
	readonly deviceMajor: number;
	readonly deviceMinor: number;
	/** In the archive's order. From SCHILY.xattr.*, LIBARCHIVE.xattr.* and SCHILY.acl.* where they are binary. */
	readonly xattrs: readonly Xattr[];
	/** Only for sparse files: where the data lies, ascending, not overlapping. */
	readonly dataExtents?: readonly DataExtent[] | undefined;
}
