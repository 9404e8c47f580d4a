/**
 * Owns the kernel's numbers, as <fcntl.h>, <sys/mount.h>, <linux/mount.h>, <linux/openat2.h> and <linux/magic.h>
 * have them for x86_64; the few that differ on aarch64 are chosen at load.
 */

const ARM = process.arch === "arm64";

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_EMPTY_PATH = 0x1000;

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_NOCTTY = 0o400;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NONBLOCK = 0o4000;
export const O_DIRECTORY: number = ARM ? 0o40000 : 0o200000;
export const O_NOFOLLOW: number = ARM ? 0o100000 : 0o400000;
export const O_NOATIME = 0o1000000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;

export const RESOLVE_NO_XDEV = 0x01;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_BENEATH = 0x08;
export const RESOLVE_IN_ROOT = 0x10;

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;
export const S_ISGID = 0o2000;

export const DT_UNKNOWN = 0;
export const DT_CHR = 2;
export const DT_DIR = 4;
export const DT_REG = 8;

export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;

export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;

export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;

export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_REMOUNT = 32;
export const MS_BIND = 4096;
export const MS_REC = 16384;
export const MS_UNBINDABLE: number = 1 << 17;
export const MS_PRIVATE: number = 1 << 18;
export const MS_SLAVE: number = 1 << 19;
export const MS_SHARED: number = 1 << 20;

export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;

export const FSOPEN_CLOEXEC = 1;
export const FSMOUNT_CLOEXEC = 1;
export const FSCONFIG_SET_FLAG = 0;
export const FSCONFIG_SET_STRING = 1;
export const FSCONFIG_SET_FD = 5;
export const FSCONFIG_CMD_CREATE = 6;
export const FSCONFIG_CMD_RECONFIGURE = 7;

export const MOVE_MOUNT_F_EMPTY_PATH = 0x04;
export const MOVE_MOUNT_BENEATH = 0x200;

export const OPEN_TREE_CLONE = 1;

export const MOUNT_ATTR_RDONLY = 0x01;
export const MOUNT_ATTR_IDMAP = 0x100000;

export const CLONE_FS = 0x200;
export const CLONE_NEWNS = 0x20000;
export const CLONE_NEWUTS = 0x4000000;
export const CLONE_NEWIPC = 0x8000000;
export const CLONE_NEWPID = 0x20000000;

/** Filesystem magics of statfs(2) (`f_type`) and the names people know them by. */
export const FILESYSTEM_MAGIC = {
	aufs: 0x61756673,
	bcachefs: 0xca451a4e,
	btrfs: 0x9123683e,
	cephfs: 0x00c36400,
	ecryptfs: 0x0000f15f,
	erofs: 0xe0f5e1e2,
	exfat: 0x2011bab0,
	/** ext2 and ext3 have the same. */
	ext4: 0xef53,
	f2fs: 0xf2f52010,
	fuse: 0x65735546,
	gpfs: 0x47504653,
	jfs: 0x3153464a,
	msdos: 0x4d44,
	nfs: 0x6969,
	ntfs: 0x5346544e,
	overlay: 0x794c7630,
	"9p": 0x01021997,
	proc: 0x9fa0,
	ramfs: 0x858458f6,
	reiserfs: 0x52654973,
	smb2: 0xfe534d42,
	cifs: 0xff534d42,
	squashfs: 0x73717368,
	sysfs: 0x62656572,
	tmpfs: 0x01021994,
	vxfs: 0xa501fcf5,
	xfs: 0x58465342,
	zfs: 0x2fc12fc1,
} as const;

/** The filesystem's name by its magic, or `0x…` where it has none here. */
export function filesystemName(magic: number): string {
	for (const [name, value] of Object.entries(FILESYSTEM_MAGIC)) if (value === magic) return name;
	return `0x${magic.toString(16)}`;
}
