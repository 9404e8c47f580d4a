/*
 * System calls for src/linux: one thin function a call. Arguments are checked for their type, the kernel's
 * result comes back as it is (a number >= 0, or -errno), and nothing here decides anything.
 *
 * The calls are made raw, without libc, so that one binary serves glibc and musl. No global state: the
 * addon loads in any number of threads.
 *
 * A wrong argument type throws a TypeError (a mistake in src/linux); an errno never throws. A number that the
 * argument cannot hold is -EINVAL: it never wraps.
 */
#include <asm/unistd.h>
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- raw system calls ---------------------------------------------------------------------------- */

#if defined(__x86_64__)
static inline long call6(long nr, long a, long b, long c, long d, long e, long f) {
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
static inline long call6(long nr, long a, long b, long c, long d, long e, long f) {
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}
#else
#error "lamella's native part knows x86_64 and aarch64 only"
#endif

#define CALL(nr, ...) CALL_(nr, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define CALL_(nr, a, b, c, d, e, f, ...) \
	call6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* Numbers that older kernel headers do not have yet; the same on every architecture. */
#ifndef __NR_mount_setattr
#define __NR_mount_setattr 442
#endif
#define NR_PIDFD_SEND_SIGNAL 424
#define NR_PIDFD_OPEN 434
#define NR_CLOSE_RANGE 436
#define NR_SETXATTRAT 463
#define NR_GETXATTRAT 464
#define NR_LISTXATTRAT 465
#define NR_REMOVEXATTRAT 466

#define E_INTR 4
#define E_INVAL 22
#define E_NAMETOOLONG 36
#define E_OVERFLOW 75
#define O_CLOEXEC_ALWAYS 02000000
#define O_NONBLOCK 04000
#define FSOPEN_CLOEXEC 1
#define FSMOUNT_CLOEXEC 1

/* The compiler may call these for copies and clears that it finds; there is no libc to give them. */
__attribute__((visibility("hidden"))) void *memcpy(void *to, const void *from, size_t n) {
	char *t = to;
	const char *f = from;
	for (size_t i = 0; i < n; i++) {
		t[i] = f[i];
		__asm__ volatile("" ::: "memory"); /* keeps this loop from becoming a call of memcpy */
	}
	return to;
}
__attribute__((visibility("hidden"))) void *memset(void *to, int byte, size_t n) {
	char *t = to;
	for (size_t i = 0; i < n; i++) {
		t[i] = (char)byte;
		__asm__ volatile("" ::: "memory");
	}
	return to;
}

/* ---- arguments ----------------------------------------------------------------------------------- */

#define TEXT_SIZE 4098 /* PATH_MAX, and two bytes to see that it was more */

static napi_value wrong(napi_env env, const char *what) {
	napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", what);
	return NULL;
}

static inline napi_value number(napi_env env, long value) {
	napi_value result;
	if (value >= INT32_MIN && value <= INT32_MAX)
		napi_create_int32(env, (int32_t)value, &result);
	else
		napi_create_int64(env, value, &result);
	return result;
}

/*
 * Copies a string (as UTF-8) or bytes to `out` with a NUL at the end. 0 or -errno; 1 for another type.
 * Not more than PATH_MAX bytes with the NUL, and no NUL inside: the kernel would cut the name there.
 */
static long text(napi_env env, napi_value value, char *out) {
	size_t length = 0;
	napi_status status = napi_get_value_string_utf8(env, value, out, TEXT_SIZE, &length);
	if (status == napi_string_expected) {
		napi_typedarray_type type;
		void *data = NULL;
		if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok) return 1;
		if (type != napi_uint8_array) return 1;
		if (length > 4095) return -E_NAMETOOLONG;
		for (size_t i = 0; i < length; i++) out[i] = ((const char *)data)[i];
		out[length] = 0;
	} else if (status != napi_ok) {
		return 1;
	}
	if (length > 4095) return -E_NAMETOOLONG;
	for (size_t i = 0; i < length; i++)
		if (out[i] == 0) return -E_INVAL;
	return 0;
}

/* As `text`, but null and undefined give a null pointer. */
static long text_or_null(napi_env env, napi_value value, char *out, char **pointer) {
	napi_valuetype type;
	if (napi_typeof(env, value, &type) != napi_ok) return 1;
	if (type == napi_null || type == napi_undefined) {
		*pointer = NULL;
		return 0;
	}
	*pointer = out;
	return text(env, value, out);
}

static bool bytes(napi_env env, napi_value value, uint8_t **data, size_t *length) {
	napi_typedarray_type type;
	void *pointer = NULL;
	if (napi_get_typedarray_info(env, value, &type, length, &pointer, NULL, NULL) != napi_ok) return false;
	if (type != napi_uint8_array) return false;
	*data = pointer;
	return true;
}

#define FUNCTION(name) static napi_value name(napi_env env, napi_callback_info info)

#define ARGS(count)                                                                           \
	napi_value args[count];                                                               \
	size_t argc = count;                                                                  \
	if (napi_get_cb_info(env, info, &argc, args, NULL, NULL) != napi_ok || argc < count) \
		return wrong(env, "too few arguments");

/*
 * A whole number from `low` to `high`; a double that is none gives -EINVAL. napi's own conversions wrap or clamp,
 * and 2^32 would become the owner 0.
 */
static long whole(napi_env env, napi_value value, double low, double high, int64_t *out) {
	double d;
	if (napi_get_value_double(env, value, &d) != napi_ok) return 1;
	if (!(d >= low && d <= high)) return -E_INVAL;
	*out = (int64_t)d;
	return (double)*out == d ? 0 : -E_INVAL;
}

#define WHOLE(type, name, i, low, high)                                        \
	type name;                                                             \
	{                                                                      \
		int64_t whole_number;                                          \
		long bad = whole(env, args[i], low, high, &whole_number);      \
		if (bad == 1) return wrong(env, #name " must be a number");    \
		if (bad < 0) return number(env, bad);                          \
		name = (type)whole_number;                                     \
	}

#define INT(name, i) WHOLE(int32_t, name, i, -2147483648.0, 2147483647.0)
#define UINT(name, i) WHOLE(uint32_t, name, i, 0.0, 4294967295.0)
/* Up to 2^53: beyond, a double skips numbers. */
#define LONG(name, i) WHOLE(int64_t, name, i, -9007199254740992.0, 9007199254740992.0)
/* 2^32 - 1 is no owner: chown(2) takes it for "leave it as it is". */
#define OWNER(name, i) WHOLE(uint32_t, name, i, 0.0, 4294967294.0)

#define TEXT(name, i)                                                                        \
	char name[TEXT_SIZE];                                                                \
	{                                                                                    \
		long bad = text(env, args[i], name);                                         \
		if (bad == 1) return wrong(env, #name " must be a string or a Uint8Array"); \
		if (bad < 0) return number(env, bad);                                        \
	}

#define TEXT_OR_NULL(name, i)                                                                \
	char name##_storage[TEXT_SIZE];                                                      \
	char *name;                                                                          \
	{                                                                                    \
		long bad = text_or_null(env, args[i], name##_storage, &name);                \
		if (bad == 1) return wrong(env, #name " must be text, bytes or null");       \
		if (bad < 0) return number(env, bad);                                        \
	}

#define BYTES(name, i)                                        \
	uint8_t *name;                                        \
	size_t name##_length;                                 \
	if (!bytes(env, args[i], &name, &name##_length))      \
		return wrong(env, #name " must be a Uint8Array");

/* A piece of a buffer by offset and length, checked against its bounds. */
#define PIECE(name, i)                                                                             \
	BYTES(name, i)                                                                             \
	LONG(name##_offset, (i) + 1)                                                               \
	LONG(length, (i) + 2)                                                                      \
	if (name##_offset < 0 || length < 0 || (uint64_t)name##_offset > name##_length ||          \
	    (uint64_t)length > name##_length - (uint64_t)name##_offset)                            \
		return wrong(env, "offset and length go over the end of the buffer");              \
	name += name##_offset;

#define RETURN(expression) return number(env, expression)

/* ---- files --------------------------------------------------------------------------------------- */

FUNCTION(l_openat) {
	ARGS(4) INT(dirfd, 0) TEXT(path, 1) INT(flags, 2) UINT(mode, 3)
	RETURN(CALL(__NR_openat, dirfd, path, flags | O_CLOEXEC_ALWAYS, mode));
}

FUNCTION(l_openat2) {
	ARGS(5) INT(dirfd, 0) TEXT(path, 1) UINT(flags, 2) UINT(mode, 3) UINT(resolve, 4)
	struct {
		uint64_t flags, mode, resolve;
	} how = {flags | O_CLOEXEC_ALWAYS, mode, resolve};
	RETURN(CALL(__NR_openat2, dirfd, path, &how, sizeof how));
}

FUNCTION(l_close) {
	ARGS(1) INT(fd, 0)
	RETURN(CALL(__NR_close, fd));
}

FUNCTION(l_read) {
	ARGS(4) INT(fd, 0) PIECE(buffer, 1)
	RETURN(CALL(__NR_read, fd, buffer, length));
}

FUNCTION(l_pread) {
	ARGS(5) INT(fd, 0) PIECE(buffer, 1) LONG(position, 4)
	RETURN(CALL(__NR_pread64, fd, buffer, length, position));
}

FUNCTION(l_write) {
	ARGS(4) INT(fd, 0) PIECE(buffer, 1)
	RETURN(CALL(__NR_write, fd, buffer, length));
}

FUNCTION(l_pwrite) {
	ARGS(5) INT(fd, 0) PIECE(buffer, 1) LONG(position, 4)
	RETURN(CALL(__NR_pwrite64, fd, buffer, length, position));
}

FUNCTION(l_lseek) {
	ARGS(3) INT(fd, 0) LONG(offset, 1) INT(whence, 2)
	RETURN(CALL(__NR_lseek, fd, offset, whence));
}

FUNCTION(l_ftruncate) {
	ARGS(2) INT(fd, 0) LONG(size, 1)
	RETURN(CALL(__NR_ftruncate, fd, size));
}

FUNCTION(l_fallocate) {
	ARGS(4) INT(fd, 0) INT(mode, 1) LONG(offset, 2) LONG(length, 3)
	RETURN(CALL(__NR_fallocate, fd, mode, offset, length));
}

/* An offset of -1 means the file's own position. */
FUNCTION(l_copy_file_range) {
	ARGS(5) INT(in_fd, 0) LONG(in_offset, 1) INT(out_fd, 2) LONG(out_offset, 3) LONG(length, 4)
	RETURN(CALL(__NR_copy_file_range, in_fd, in_offset == -1 ? NULL : &in_offset, out_fd,
		    out_offset == -1 ? NULL : &out_offset, length));
}

FUNCTION(l_ioctl) {
	ARGS(3) INT(fd, 0) UINT(request, 1) LONG(argument, 2)
	RETURN(CALL(__NR_ioctl, fd, request, argument));
}

/* For requests whose argument is a struct: it is read from, or written to, `data`. */
FUNCTION(l_ioctl_data) {
	ARGS(3) INT(fd, 0) UINT(request, 1) BYTES(data, 2)
	/* The request's encoding says how long it is; the old ones for terminals say nothing, and none takes 128 bytes. */
	uint32_t size = (request >> 16) & 0x3fff;
	if (data_length < (size == 0 ? 128 : size)) return wrong(env, "data is too short for the request");
	RETURN(CALL(__NR_ioctl, fd, request, data));
}

FUNCTION(l_fcntl) {
	ARGS(3) INT(fd, 0) INT(command, 1) LONG(argument, 2)
	RETURN(CALL(__NR_fcntl, fd, command, argument));
}

FUNCTION(l_sync_file_range) {
	ARGS(4) INT(fd, 0) LONG(offset, 1) LONG(length, 2) UINT(flags, 3)
	RETURN(CALL(__NR_sync_file_range, fd, offset, length, flags));
}

FUNCTION(l_fsync) {
	ARGS(1) INT(fd, 0)
	RETURN(CALL(__NR_fsync, fd));
}

FUNCTION(l_syncfs) {
	ARGS(1) INT(fd, 0)
	RETURN(CALL(__NR_syncfs, fd));
}

/* Seconds and nanoseconds of CLOCK_REALTIME go to `out` as two int64. */
FUNCTION(l_clock_realtime) {
	ARGS(1) BYTES(out, 0)
	if (out_length < 16) return wrong(env, "out must hold 16 bytes");
	RETURN(CALL(__NR_clock_gettime, 0, out));
}

FUNCTION(l_flock) {
	ARGS(2) INT(fd, 0) INT(operation, 1)
	RETURN(CALL(__NR_flock, fd, operation));
}

/* The two descriptors go to `out` as two int32. */
FUNCTION(l_pipe2) {
	ARGS(2) BYTES(out, 0) INT(flags, 1)
	if (out_length < 8) return wrong(env, "out must hold 8 bytes");
	RETURN(CALL(__NR_pipe2, out, flags | O_CLOEXEC_ALWAYS));
}

/* `set` holds `struct pollfd`s of 8 bytes: int fd, short events, short revents. */
FUNCTION(l_poll) {
	ARGS(2) BYTES(set, 0) UINT(timeout_ms, 1)
	int64_t timeout[2] = {timeout_ms / 1000, (int64_t)(timeout_ms % 1000) * 1000000};
	RETURN(CALL(__NR_ppoll, set, set_length / 8, timeout, 0, 0));
}

/* ---- metadata ------------------------------------------------------------------------------------ */

struct timestamp {
	int64_t seconds;
	uint32_t nanoseconds;
	int32_t reserved;
};

struct statx_result {
	uint32_t mask, block_size;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode, pad0;
	uint64_t ino, size, blocks, attributes_mask;
	struct timestamp atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t rest[14];
};

#define NANOSECONDS 1000000000ll
/* Seconds whose nanoseconds still fit 64 bits: the years 1678 to 2262. */
#define SECONDS_LIMIT 9223372000ll

/*
 * Fills `out`, 18 slots of 8 bytes.
 * Doubles: 0 mode, 1 nlink, 2 uid, 3 gid, 4 size, 5 blocks, 6 rdev major, 7 rdev minor, 8 one where the times
 * fit. 64-bit integers: 9 dev (as makedev(3) packs it), 10 ino, 11 to 13 atime, mtime and ctime in ns, or where
 * they do not fit only their ns part, 14 attributes. Doubles: 15 to 17 the seconds of those times.
 */
#define STAT_BYTES 144
FUNCTION(l_statx) {
	ARGS(4) INT(dirfd, 0) TEXT(path, 1) INT(flags, 2) BYTES(out, 3)
	if (out_length < STAT_BYTES || ((uintptr_t)out & 7) != 0) return wrong(env, "out must hold 144 aligned bytes");
	struct statx_result s;
	long result = CALL(__NR_statx, dirfd, path, flags, 0x7ff, &s);
	if (result < 0) RETURN(result);
	double *d = (double *)out;
	int64_t *n = (int64_t *)out;
	d[0] = s.mode;
	d[1] = s.nlink;
	d[2] = s.uid;
	d[3] = s.gid;
	d[4] = (double)s.size;
	d[5] = (double)s.blocks;
	d[6] = s.rdev_major;
	d[7] = s.rdev_minor;
	uint64_t major = s.dev_major, minor = s.dev_minor;
	n[9] = (int64_t)(((major & ~0xfffull) << 32) | ((major & 0xfff) << 8) | ((minor & ~0xffull) << 12) | (minor & 0xff));
	n[10] = (int64_t)s.ino;
	const struct timestamp *times[3] = {&s.atime, &s.mtime, &s.ctime};
	bool fit = true;
	for (int i = 0; i < 3; i++)
		if (times[i]->seconds > SECONDS_LIMIT || times[i]->seconds < -SECONDS_LIMIT) fit = false;
	d[8] = fit ? 1 : 0;
	for (int i = 0; i < 3; i++) {
		n[11 + i] = (fit ? times[i]->seconds * NANOSECONDS : 0) + times[i]->nanoseconds;
		d[15 + i] = (double)times[i]->seconds;
	}
	n[14] = (int64_t)s.attributes;
	RETURN(0);
}

/* Times as BigInt nanoseconds; -EOVERFLOW where they need more than 64 bits (then use the one in parts). */
FUNCTION(l_utimensat) {
	ARGS(5) INT(dirfd, 0) TEXT_OR_NULL(path, 1) INT(flags, 4)
	struct {
		int64_t seconds, nanoseconds;
	} times[2];
	for (int i = 0; i < 2; i++) {
		int64_t ns;
		bool lossless;
		if (napi_get_value_bigint_int64(env, args[2 + i], &ns, &lossless) != napi_ok)
			return wrong(env, "times must be BigInts");
		if (!lossless) RETURN(-E_OVERFLOW);
		int64_t seconds = ns / NANOSECONDS, rest = ns % NANOSECONDS;
		if (rest < 0) {
			rest += NANOSECONDS;
			seconds -= 1;
		}
		times[i].seconds = seconds;
		times[i].nanoseconds = rest;
	}
	RETURN(CALL(__NR_utimensat, dirfd, path, times, flags));
}

/* (dirfd, path, atime seconds, ns, mtime seconds, ns, flags): for far times, UTIME_OMIT and UTIME_NOW. */
FUNCTION(l_utimensat_parts) {
	ARGS(7)
	INT(dirfd, 0) TEXT_OR_NULL(path, 1) LONG(atime, 2) LONG(atime_ns, 3) LONG(mtime, 4) LONG(mtime_ns, 5)
	INT(flags, 6)
	int64_t times[4] = {atime, atime_ns, mtime, mtime_ns};
	RETURN(CALL(__NR_utimensat, dirfd, path, times, flags));
}

FUNCTION(l_fchownat) {
	ARGS(5) INT(dirfd, 0) TEXT(path, 1) OWNER(uid, 2) OWNER(gid, 3) INT(flags, 4)
	RETURN(CALL(__NR_fchownat, dirfd, path, uid, gid, flags));
}

FUNCTION(l_fchown) {
	ARGS(3) INT(fd, 0) OWNER(uid, 1) OWNER(gid, 2)
	RETURN(CALL(__NR_fchown, fd, uid, gid));
}

FUNCTION(l_fchmodat) {
	ARGS(3) INT(dirfd, 0) TEXT(path, 1) UINT(mode, 2)
	RETURN(CALL(__NR_fchmodat, dirfd, path, mode));
}

FUNCTION(l_fchmod) {
	ARGS(2) INT(fd, 0) UINT(mode, 1)
	RETURN(CALL(__NR_fchmod, fd, mode));
}

struct statfs_result {
	int64_t type, block_size;
	uint64_t blocks, free_blocks, available_blocks, files, free_files;
	int32_t fsid[2];
	int64_t name_length, fragment_size, flags, spare[4];
};

/* Fills eight doubles: type, block size, blocks, free, available, files, free files, flags. */
static long statfs_out(long result, const struct statfs_result *s, uint8_t *out) {
	if (result < 0) return result;
	double *d = (double *)out;
	d[0] = (double)(s->type & 0xffffffff);
	d[1] = (double)s->block_size;
	d[2] = (double)s->blocks;
	d[3] = (double)s->free_blocks;
	d[4] = (double)s->available_blocks;
	d[5] = (double)s->files;
	d[6] = (double)s->free_files;
	d[7] = (double)s->flags;
	return 0;
}

FUNCTION(l_statfs) {
	ARGS(2) TEXT(path, 0) BYTES(out, 1)
	if (out_length < 64 || ((uintptr_t)out & 7) != 0) return wrong(env, "out must hold 64 aligned bytes");
	struct statfs_result s;
	RETURN(statfs_out(CALL(__NR_statfs, path, &s), &s, out));
}

FUNCTION(l_fstatfs) {
	ARGS(2) INT(fd, 0) BYTES(out, 1)
	if (out_length < 64 || ((uintptr_t)out & 7) != 0) return wrong(env, "out must hold 64 aligned bytes");
	struct statfs_result s;
	RETURN(statfs_out(CALL(__NR_fstatfs, fd, &s), &s, out));
}

/* ---- names --------------------------------------------------------------------------------------- */

FUNCTION(l_getdents64) {
	ARGS(2) INT(fd, 0) BYTES(buffer, 1)
	RETURN(CALL(__NR_getdents64, fd, buffer, buffer_length));
}

FUNCTION(l_mkdirat) {
	ARGS(3) INT(dirfd, 0) TEXT(path, 1) UINT(mode, 2)
	RETURN(CALL(__NR_mkdirat, dirfd, path, mode));
}

FUNCTION(l_mknodat) {
	ARGS(5) INT(dirfd, 0) TEXT(path, 1) UINT(mode, 2) UINT(major, 3) UINT(minor, 4)
	/* The kernel's new_encode_dev: 12 bits of major, 20 of minor. What does not fit must not become another device. */
	if (major > 0xfff || minor > 0xfffff) RETURN(-E_INVAL);
	uint32_t device = (minor & 0xff) | (major << 8) | ((minor & ~0xffu) << 12);
	RETURN(CALL(__NR_mknodat, dirfd, path, mode, device));
}

FUNCTION(l_symlinkat) {
	ARGS(3) TEXT(target, 0) INT(dirfd, 1) TEXT(path, 2)
	RETURN(CALL(__NR_symlinkat, target, dirfd, path));
}

FUNCTION(l_linkat) {
	ARGS(5) INT(old_dirfd, 0) TEXT(old_path, 1) INT(new_dirfd, 2) TEXT(new_path, 3) INT(flags, 4)
	RETURN(CALL(__NR_linkat, old_dirfd, old_path, new_dirfd, new_path, flags));
}

FUNCTION(l_unlinkat) {
	ARGS(3) INT(dirfd, 0) TEXT(path, 1) INT(flags, 2)
	RETURN(CALL(__NR_unlinkat, dirfd, path, flags));
}

FUNCTION(l_renameat2) {
	ARGS(5) INT(old_dirfd, 0) TEXT(old_path, 1) INT(new_dirfd, 2) TEXT(new_path, 3) UINT(flags, 4)
	RETURN(CALL(__NR_renameat2, old_dirfd, old_path, new_dirfd, new_path, flags));
}

FUNCTION(l_readlinkat) {
	ARGS(3) INT(dirfd, 0) TEXT(path, 1) BYTES(buffer, 2)
	RETURN(CALL(__NR_readlinkat, dirfd, path, buffer, buffer_length));
}

/* ---- extended attributes ------------------------------------------------------------------------- */

FUNCTION(l_fgetxattr) {
	ARGS(3) INT(fd, 0) TEXT(name, 1) BYTES(buffer, 2)
	RETURN(CALL(__NR_fgetxattr, fd, name, buffer, buffer_length));
}

FUNCTION(l_fsetxattr) {
	ARGS(4) INT(fd, 0) TEXT(name, 1) BYTES(value, 2) INT(flags, 3)
	RETURN(CALL(__NR_fsetxattr, fd, name, value, value_length, flags));
}

FUNCTION(l_flistxattr) {
	ARGS(2) INT(fd, 0) BYTES(buffer, 1)
	RETURN(CALL(__NR_flistxattr, fd, buffer, buffer_length));
}

FUNCTION(l_fremovexattr) {
	ARGS(2) INT(fd, 0) TEXT(name, 1)
	RETURN(CALL(__NR_fremovexattr, fd, name));
}

FUNCTION(l_lgetxattr) {
	ARGS(3) TEXT(path, 0) TEXT(name, 1) BYTES(buffer, 2)
	RETURN(CALL(__NR_lgetxattr, path, name, buffer, buffer_length));
}

FUNCTION(l_lsetxattr) {
	ARGS(4) TEXT(path, 0) TEXT(name, 1) BYTES(value, 2) INT(flags, 3)
	RETURN(CALL(__NR_lsetxattr, path, name, value, value_length, flags));
}

FUNCTION(l_llistxattr) {
	ARGS(2) TEXT(path, 0) BYTES(buffer, 1)
	RETURN(CALL(__NR_llistxattr, path, buffer, buffer_length));
}

FUNCTION(l_lremovexattr) {
	ARGS(2) TEXT(path, 0) TEXT(name, 1)
	RETURN(CALL(__NR_lremovexattr, path, name));
}

/* Since Linux 6.13. */
struct xattr_args {
	uint64_t value;
	uint32_t size, flags;
};

FUNCTION(l_getxattrat) {
	ARGS(5) INT(dirfd, 0) TEXT(path, 1) INT(at_flags, 2) TEXT(name, 3) BYTES(buffer, 4)
	struct xattr_args x = {(uintptr_t)buffer, (uint32_t)buffer_length, 0};
	RETURN(CALL(NR_GETXATTRAT, dirfd, path, at_flags, name, &x, sizeof x));
}

FUNCTION(l_setxattrat) {
	ARGS(6) INT(dirfd, 0) TEXT(path, 1) INT(at_flags, 2) TEXT(name, 3) BYTES(value, 4) UINT(flags, 5)
	struct xattr_args x = {(uintptr_t)value, (uint32_t)value_length, flags};
	RETURN(CALL(NR_SETXATTRAT, dirfd, path, at_flags, name, &x, sizeof x));
}

FUNCTION(l_listxattrat) {
	ARGS(4) INT(dirfd, 0) TEXT(path, 1) INT(at_flags, 2) BYTES(buffer, 3)
	RETURN(CALL(NR_LISTXATTRAT, dirfd, path, at_flags, buffer, buffer_length));
}

FUNCTION(l_removexattrat) {
	ARGS(4) INT(dirfd, 0) TEXT(path, 1) INT(at_flags, 2) TEXT(name, 3)
	RETURN(CALL(NR_REMOVEXATTRAT, dirfd, path, at_flags, name));
}

/* ---- mounts and namespaces ----------------------------------------------------------------------- */

FUNCTION(l_mount) {
	ARGS(5) TEXT_OR_NULL(source, 0) TEXT(target, 1) TEXT_OR_NULL(type, 2) LONG(flags, 3)
	/* mount(2) copies a whole page from `data`: give it one. */
	char data_page[4096];
	char *data = NULL;
	{
		char storage[TEXT_SIZE];
		char *pointer;
		long bad = text_or_null(env, args[4], storage, &pointer);
		if (bad == 1) return wrong(env, "data must be text, bytes or null");
		if (bad < 0) RETURN(bad);
		if (pointer != NULL) {
			size_t i = 0;
			for (; i < 4095 && pointer[i] != 0; i++) data_page[i] = pointer[i];
			for (; i < 4096; i++) data_page[i] = 0;
			data = data_page;
		}
	}
	RETURN(CALL(__NR_mount, source, target, type, flags, data));
}

FUNCTION(l_umount2) {
	ARGS(2) TEXT(target, 0) INT(flags, 1)
	RETURN(CALL(__NR_umount2, target, flags));
}

FUNCTION(l_fsopen) {
	ARGS(2) TEXT(type, 0) UINT(flags, 1)
	RETURN(CALL(__NR_fsopen, type, flags | FSOPEN_CLOEXEC));
}

FUNCTION(l_fsconfig) {
	ARGS(5) INT(fd, 0) UINT(command, 1) TEXT_OR_NULL(key, 2) TEXT_OR_NULL(value, 3) INT(aux, 4)
	RETURN(CALL(__NR_fsconfig, fd, command, key, value, aux));
}

FUNCTION(l_fsmount) {
	ARGS(3) INT(fd, 0) UINT(flags, 1) UINT(attributes, 2)
	RETURN(CALL(__NR_fsmount, fd, flags | FSMOUNT_CLOEXEC, attributes));
}

FUNCTION(l_move_mount) {
	ARGS(5) INT(from_fd, 0) TEXT(from, 1) INT(to_fd, 2) TEXT(to, 3) UINT(flags, 4)
	RETURN(CALL(__NR_move_mount, from_fd, from, to_fd, to, flags));
}

FUNCTION(l_open_tree) {
	ARGS(3) INT(dirfd, 0) TEXT(path, 1) UINT(flags, 2)
	RETURN(CALL(__NR_open_tree, dirfd, path, flags | O_CLOEXEC_ALWAYS));
}

FUNCTION(l_mount_setattr) {
	ARGS(7)
	INT(dirfd, 0) TEXT(path, 1) UINT(flags, 2) UINT(set, 3) UINT(clear, 4) LONG(propagation, 5)
	INT(userns_fd, 6)
	struct {
		uint64_t set, clear, propagation, userns_fd;
	} attributes = {set, clear, (uint64_t)propagation, userns_fd < 0 ? 0 : (uint64_t)userns_fd};
	RETURN(CALL(__NR_mount_setattr, dirfd, path, flags, &attributes, sizeof attributes));
}

FUNCTION(l_unshare) {
	ARGS(1) UINT(flags, 0)
	RETURN(CALL(__NR_unshare, flags));
}

FUNCTION(l_chroot) {
	ARGS(1) TEXT(path, 0)
	RETURN(CALL(__NR_chroot, path));
}

FUNCTION(l_pivot_root) {
	ARGS(2) TEXT(new_root, 0) TEXT(put_old, 1)
	RETURN(CALL(__NR_pivot_root, new_root, put_old));
}

FUNCTION(l_chdir) {
	ARGS(1) TEXT(path, 0)
	RETURN(CALL(__NR_chdir, path));
}

FUNCTION(l_fchdir) {
	ARGS(1) INT(fd, 0)
	RETURN(CALL(__NR_fchdir, fd));
}

FUNCTION(l_sethostname) {
	ARGS(1) TEXT(name, 0)
	size_t length = 0;
	while (name[length] != 0) length++;
	RETURN(CALL(__NR_sethostname, name, length));
}

FUNCTION(l_gettid) {
	(void)info;
	RETURN(CALL(__NR_gettid, 0));
}

/*
 * clone(2) with CLONE_NEWUSER: a process that only exists, for its user namespace to be looked at; the caller kills it.
 * More than one call, for nothing of it can be done from JavaScript: the child must never come back to it, must get no
 * signal that the parent has handlers for, and must not outlive the parent.
 */
FUNCTION(l_clone_userns) {
	(void)info;
	uint64_t all = ~(uint64_t)0, before = 0;
	CALL(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &all, &before, 8);
	long parent = CALL(__NR_getpid, 0);
	/* No signal at its end: wait4 with __WALL asks for it, and nobody who waits for children of his own sees it. */
	long pid = CALL(__NR_clone, 0x10000000);
	if (pid == 0) {
		CALL(__NR_prctl, 1 /* PR_SET_PDEATHSIG */, 9 /* SIGKILL */);
		if (CALL(__NR_getppid, 0) != parent) CALL(__NR_exit_group, 0);
		for (;;) CALL(__NR_ppoll, 0, 0, 0, 0, 0);
	}
	CALL(__NR_rt_sigprocmask, 2, &before, 0, 8);
	RETURN(pid);
}

/* The status goes to `out` as an int32. */
FUNCTION(l_wait4) {
	ARGS(3) INT(pid, 0) INT(options, 1) BYTES(out, 2)
	if (out_length < 4) return wrong(env, "out must hold 4 bytes");
	RETURN(CALL(__NR_wait4, pid, out, options, 0));
}

FUNCTION(l_pidfd_open) {
	ARGS(1) INT(pid, 0)
	RETURN(CALL(NR_PIDFD_OPEN, pid, 0));
}

FUNCTION(l_pidfd_send_signal) {
	ARGS(2) INT(pidfd, 0) INT(signal, 1)
	RETURN(CALL(NR_PIDFD_SEND_SIGNAL, pidfd, signal, 0, 0));
}

#define SPAWN_TERMINAL 1
#define SPAWN_PROC 2

struct program {
	char *file, *cwd, **argv, **envp;
	int32_t fds[3], report;
	uint32_t uid, gid, flags;
};

/* What the child does between clone(2) and execve(2). Returns only when something failed. */
static long become(struct program *p) {
	long result = 0;
	/* Handlers end at execve, but what Node ignores would stay ignored. */
	struct {
		uint64_t handler, flags, restorer, mask;
	} by_default = {0, 0, 0, 0};
	for (int signal = 1; signal <= 64; signal++) CALL(__NR_rt_sigaction, signal, &by_default, 0, 8);
	uint64_t none = 0;
	CALL(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &none, 0, 8);
	if ((result = CALL(__NR_setsid, 0)) < 0) return result;
	for (int i = 0; i < 3; i++) {
		result = p->fds[i] == i ? CALL(__NR_fcntl, i, 2 /* F_SETFD */, 0) : CALL(__NR_dup3, p->fds[i], i, 0);
		if (result < 0) return result;
		/* Node makes pipes that it writes to non-blocking, for all who have them; programs do not expect that. */
		if ((result = CALL(__NR_fcntl, i, 3 /* F_GETFL */, 0)) < 0) return result;
		if ((result & O_NONBLOCK) != 0) CALL(__NR_fcntl, i, 4 /* F_SETFL */, result & ~O_NONBLOCK);
	}
	if (p->report != 3 && (result = CALL(__NR_dup3, p->report, 3, O_CLOEXEC_ALWAYS)) < 0) return result;
	p->report = 3;
	if ((result = CALL(NR_CLOSE_RANGE, 4, ~0u, 0)) < 0) return result;
	if ((p->flags & SPAWN_TERMINAL) != 0 && (result = CALL(__NR_ioctl, 0, 0x540e /* TIOCSCTTY */, 0)) < 0) return result;
	if ((result = CALL(__NR_chdir, p->cwd)) < 0) return result;
	if ((p->flags & SPAWN_PROC) != 0) {
		/* nosuid, nodev, noexec */
		if ((result = CALL(__NR_mount, "proc", ".", "proc", 2 | 4 | 8, 0)) < 0) return result;
		if ((result = CALL(__NR_chdir, "/")) < 0) return result;
	}
	if ((result = CALL(__NR_setgroups, 0, 0)) < 0) return result;
	if ((result = CALL(__NR_setgid, p->gid)) < 0) return result;
	if ((result = CALL(__NR_setuid, p->uid)) < 0) return result;
	return CALL(__NR_execve, p->file, p->argv, p->envp);
}

/*
 * fork, and execve in the child; the child's pid, or what failed on the way to its program.
 * (strings, pointers, arguments, variables, fd 0, 1, 2, uid, gid, flags)
 * `strings`: file, working directory, arguments, variables, each with a NUL; `pointers`: room for the addresses of arguments
 * and variables, and two NULLs.
 * The child leads a session of its own, on the terminal at its fd 0 with SPAWN_TERMINAL, has fds 0 to 2 and no other, and
 * SPAWN_PROC mounts /proc on its working directory: only the first process of a process namespace can.
 * More than one call, because between the two the child must never come back to JavaScript.
 */
FUNCTION(l_spawn) {
	ARGS(10)
	BYTES(strings, 0) BYTES(pointers, 1) UINT(arguments, 2) UINT(variables, 3) INT(fd0, 4) INT(fd1, 5) INT(fd2, 6)
	UINT(uid, 7) UINT(gid, 8) UINT(flags, 9)
	uint64_t count = (uint64_t)arguments + variables;
	if (strings_length == 0 || strings[strings_length - 1] != 0) return wrong(env, "strings must end with a NUL");
	if (pointers_length < (count + 2) * sizeof(char *) || ((uintptr_t)pointers & 7) != 0)
		return wrong(env, "pointers must have room for all strings");
	struct program p = {.fds = {fd0, fd1, fd2}, .uid = uid, .gid = gid, .flags = flags};
	for (int i = 0; i < 3; i++)
		if (p.fds[i] < 0 || (p.fds[i] < 3 && p.fds[i] != i)) return wrong(env, "an fd below 3 can only stay in its place");
	p.argv = (char **)pointers;
	p.envp = p.argv + arguments + 1;
	p.argv[arguments] = p.envp[variables] = NULL;
	uint64_t seen = 0;
	for (size_t at = 0; at < strings_length; seen++) {
		char *string = (char *)strings + at;
		if (seen == 0) p.file = string;
		else if (seen == 1) p.cwd = string;
		else if (seen - 2 < arguments) p.argv[seen - 2] = string;
		else if (seen - 2 < count) p.envp[seen - 2 - arguments] = string;
		while (strings[at++] != 0);
	}
	if (seen != count + 2) return wrong(env, "strings must be as many as they are said to be");

	int32_t report[2], failed = 0;
	long result = CALL(__NR_pipe2, report, O_CLOEXEC_ALWAYS);
	if (result < 0) RETURN(result);
	uint64_t all = ~(uint64_t)0, before = 0;
	CALL(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &all, &before, 8);
	long pid = CALL(__NR_clone, 17 /* SIGCHLD */);
	if (pid == 0) {
		p.report = report[1];
		failed = (int32_t)-become(&p);
		CALL(__NR_write, p.report, &failed, sizeof failed);
		CALL(__NR_exit_group, 127);
	}
	CALL(__NR_rt_sigprocmask, 2, &before, 0, 8);
	CALL(__NR_close, report[1]);
	if (pid > 0) {
		while ((result = CALL(__NR_read, report[0], &failed, sizeof failed)) == -E_INTR);
		if (result == sizeof failed) {
			CALL(__NR_wait4, pid, 0, 0, 0);
			pid = -failed;
		}
	}
	CALL(__NR_close, report[0]);
	RETURN(pid);
}

FUNCTION(l_ioprio_set) {
	ARGS(3) INT(which, 0) INT(who, 1) INT(ioprio, 2)
	RETURN(CALL(__NR_ioprio_set, which, who, ioprio));
}

/* ---- the table ----------------------------------------------------------------------------------- */

#define EACH(F)                                                                                           \
	F(openat) F(openat2) F(close) F(read) F(pread) F(write) F(pwrite) F(lseek) F(ftruncate)          \
	F(fallocate) F(copy_file_range) F(ioctl) F(ioctl_data) F(poll) F(fcntl) F(fsync)    \
	F(syncfs) F(flock) F(clock_realtime) F(sync_file_range)                                          \
	F(pipe2) F(statx) F(utimensat) F(utimensat_parts) F(fchownat) F(fchown) F(fchmodat) F(fchmod)    \
	F(statfs) F(fstatfs) F(getdents64) F(mkdirat) F(mknodat) F(symlinkat) F(linkat)         \
	F(unlinkat) F(renameat2) F(readlinkat) F(fgetxattr) F(fsetxattr) F(flistxattr) F(fremovexattr)   \
	F(lgetxattr) F(lsetxattr) F(llistxattr) F(lremovexattr) F(getxattrat) F(setxattrat)              \
	F(listxattrat) F(removexattrat) F(mount) F(umount2) F(fsopen) F(fsconfig) F(fsmount)             \
	F(move_mount) F(open_tree) F(mount_setattr) F(unshare) F(chroot) F(pivot_root)          \
	F(chdir) F(fchdir) F(sethostname) F(gettid) F(clone_userns) F(wait4)                      \
	F(pidfd_open) F(pidfd_send_signal) F(spawn) F(ioprio_set)

static void add(napi_env env, napi_value exports, const char *name, napi_callback function) {
	napi_value value;
	if (napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &value) != napi_ok ||
	    napi_set_named_property(env, exports, name, value) != napi_ok)
		napi_throw_error(env, "ENATIVE", "cannot make lamella's native functions");
}

NAPI_MODULE_INIT() {
#define ADD(name) add(env, exports, #name, l_##name);
	EACH(ADD)
	return exports;
}
