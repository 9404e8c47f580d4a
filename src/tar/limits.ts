/**
 * What the reader takes at most. Every size that an archive states has a cap here, so that memory stays
 * constant whatever the archive claims (CVE-2017-14992 and CVE-2025-58183 were archives without such caps).
 */
export interface TarLimits {
	/** Body of one extended header (`x`, `g`) or GNU long name (`L`, `K`). Go's archive/tar has the same 1 MiB. */
	readonly maxExtendedHeaderBytes: number;
	/** A path, a link target, a user or group name. */
	readonly maxPathBytes: number;
	/** A regular file's length, holes included. */
	readonly maxFileSizeBytes: number;
	readonly maxSparseExtents: number;
	/** The text of a sparse map 1.0 that stands in front of the file's data. */
	readonly maxSparseMapBytes: number;
	/** Names and values of one entry's extended attributes together; of all global headers, too. */
	readonly maxXattrBytes: number;
	readonly maxXattrs: number;
	/** Extended attributes that global headers give to every entry: each is made once for each entry. */
	readonly maxGlobalXattrs: number;
}

export const DEFAULT_TAR_LIMITS: TarLimits = {
	maxExtendedHeaderBytes: 1 << 20,
	maxPathBytes: 64 << 10,
	maxFileSizeBytes: 2 ** 46,
	maxSparseExtents: 1 << 16,
	maxSparseMapBytes: 1 << 20,
	maxXattrBytes: 1 << 20,
	// More than Linux lists of one file: 64 KiB of names.
	maxXattrs: 10_000,
	maxGlobalXattrs: 64,
};
