/**
 * Owns the numbers of the on-disk form: what lies where in a superblock, a device slot, an inode, a directory block.
 * Everything is little-endian. Source: kernel fs/erofs/erofs_fs.h and Documentation/filesystems/erofs.rst.
 */

/** Content of a tar begins at multiples of this. */
export const BLOCK_BYTES = 512;
/** An inode's number (nid) is its offset in the image in units of this. */
export const NID_BYTES = 32;
/** The kernel takes no longer symbolic link: a page with its NUL. */
export const TARGET_BYTES_MAX = 4095;

export const SUPERBLOCK = {
	offset: 1024,
	bytes: 128,
	magic: 0xe0f5e1e2,
	/** Offsets from the superblock's start. */
	magicAt: 0,
	checksumAt: 4,
	featureCompatAt: 8,
	blockBitsAt: 12,
	rootNidAt: 14,
	inodesAt: 16,
	epochAt: 24,
	epochNanosecondsAt: 32,
	blocksAt: 36,
	metaBlockAt: 40,
	xattrBlockAt: 44,
	uuidAt: 48,
	uuidBytes: 16,
	featureIncompatAt: 80,
	extraDevicesAt: 86,
	deviceSlotAt: 88,
	/** The checksum is over the block that the superblock begins. */
	checkedBytes: 512,
} as const;

/**
 * The flag that makes the kernel verify the checksum (1) is not set: fsck.erofs 1.8 crashes on it where blocks have 512
 * bytes. `readDevices` verifies it at every mount.
 */
export const FEATURE_COMPAT_MTIME = 2;
export const FEATURE_INCOMPAT_DEVICE_TABLE = 8;

export const DEVICE_SLOT = { bytes: 128, tagBytes: 64, blocksAt: 64, mappedBlockAt: 68 } as const;
/** The device table follows the superblock at once. */
export const DEVICE_TABLE_OFFSET = 1152;

export const LAYOUT_FLAT_PLAIN = 0;
export const LAYOUT_FLAT_INLINE = 2;

export const COMPACT_INODE = {
	bytes: 32,
	formatAt: 0,
	xattrCountAt: 2,
	modeAt: 4,
	linksAt: 6,
	sizeAt: 8,
	blockAt: 16,
	inoAt: 20,
	uidAt: 24,
	gidAt: 26,
} as const;

export const EXTENDED_INODE = {
	bytes: 64,
	formatAt: 0,
	xattrCountAt: 2,
	modeAt: 4,
	sizeAt: 8,
	blockAt: 16,
	inoAt: 20,
	uidAt: 24,
	gidAt: 28,
	mtimeAt: 32,
	mtimeNanosecondsAt: 40,
	linksAt: 44,
} as const;

/** In front of an inode's xattrs; ids of shared ones follow, 4 bytes each, then its own. */
export const XATTR_HEADER = { bytes: 12, sharedCountAt: 4 } as const;
export const XATTR_ENTRY = { bytes: 4, nameLengthAt: 0, prefixAt: 1, valueSizeAt: 2, align: 4 } as const;

export const DIRENT = { bytes: 12, nidAt: 0, nameOffsetAt: 8, typeAt: 10 } as const;

/** By `mode >> 12`: the type that a directory entry states (FT_*). */
export const FILE_TYPES: readonly number[] = [0, 5, 3, 0, 2, 0, 4, 0, 1, 0, 7, 0, 6, 0, 0, 0];
