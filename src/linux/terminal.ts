/** Owns terminals: new pseudo terminals, raw mode and window sizes. Source: ioctl_tty(2), pty(7), cfmakeraw(3). */
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { AT_FDCWD, O_CLOEXEC, O_NOCTTY, O_NONBLOCK, O_RDWR } from "./constants.ts";
import { check } from "./errno.ts";
import { openat } from "./files.ts";
import { native, type Path } from "./native.ts";

const TCGETS = 0x5401;
const TCSETSW = 0x5403;
const TIOCGPGRP = 0x540f;
const TIOCGWINSZ = 0x5413;
const TIOCSWINSZ = 0x5414;
const TIOCSPTLCK = 0x40045431;
const TIOCGPTPEER = 0x5441;

/** What the requests are given: long enough for any of them. */
const room = (): Buffer => Buffer.alloc(128);

function ioctl(fd: number, request: number, data: Uint8Array, name: string): void {
	check(native().ioctl_data(fd, request, data), `ioctl(${name})`);
}

export interface PseudoTerminal {
	/** The outside: what is written is typed; it never blocks (O_NONBLOCK). */
	readonly master: number;
	/** The inside. */
	readonly slave: number;
}

/** A new pseudo terminal of the devpts instance that `ptmx` (in `dirfd`) belongs to. @throws {SystemError} */
export function openPseudoTerminal(dirfd: number = AT_FDCWD, ptmx: Path = "/dev/ptmx"): PseudoTerminal {
	const master = openat(dirfd, ptmx, O_RDWR | O_NOCTTY | O_NONBLOCK);
	// A new one is locked; the request's int is 0.
	ioctl(master, TIOCSPTLCK, room(), "TIOCSPTLCK");
	const slave = check(
		native().ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC),
		"ioctl(TIOCGPTPEER)",
	);
	return { master, slave };
}

/**
 * Whether this process may read from the terminal and set it. Another one than the foreground's is stopped by either;
 * where the terminal is not its own, nobody stops it.
 */
export function isInForeground(fd: number): boolean {
	const group = room();
	if (native().ioctl_data(fd, TIOCGPGRP, group) < 0) return true;
	const stat = readFileSync("/proc/self/stat", "latin1");
	// After the name, which may hold anything: state, parent, process group.
	return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2]) === group.readInt32LE(0);
}

/** The terminal's size as the kernel keeps it (struct winsize). @throws {SystemError} ENOTTY */
export function windowSize(fd: number): Uint8Array {
	const size = room();
	ioctl(fd, TIOCGWINSZ, size, "TIOCGWINSZ");
	return size;
}

/** Gives a terminal the size of another; who runs there gets SIGWINCH where it is a new one. @throws {SystemError} */
export function setWindowSize(fd: number, size: Uint8Array): void {
	ioctl(fd, TIOCSWINSZ, size, "TIOCSWINSZ");
}

/** The terminal's settings, for `setTerminalMode` (struct termios). @throws {SystemError} ENOTTY */
export function terminalMode(fd: number): Uint8Array {
	const mode = room();
	ioctl(fd, TCGETS, mode, "TCGETS");
	return mode;
}

/** Sets them once all output has gone out. @throws {SystemError} */
export function setTerminalMode(fd: number, mode: Uint8Array): void {
	ioctl(fd, TCSETSW, mode, "TCSETSW");
}

// IGNBRK BRKINT PARMRK ISTRIP INLCR IGNCR ICRNL IXON
const INPUT_FLAGS = 0o2753;
const OPOST = 0o1;
const ECHO = 0o10;
const ECHONL = 0o100;
// ECHO ECHONL ICANON ISIG IEXTEN
const LOCAL_FLAGS = 0o100113;
const CSIZE_AND_PARENB = 0o460;
const CS8 = 0o60;
const VTIME = 17 + 5;
const VMIN = 17 + 6;

/** The same settings, but every byte goes through as it is (cfmakeraw(3)). */
export function rawMode(mode: Uint8Array): Uint8Array {
	const raw = Buffer.from(mode);
	const flags = new Uint32Array(raw.buffer, raw.byteOffset, 4);
	const clear = (index: number, bits: number): void => {
		flags[index] = (flags[index] ?? 0) & ~bits;
	};
	clear(0, INPUT_FLAGS);
	clear(1, OPOST);
	clear(2, CSIZE_AND_PARENB);
	flags[2] = (flags[2] ?? 0) | CS8;
	clear(3, LOCAL_FLAGS);
	raw[VTIME] = 0;
	raw[VMIN] = 1;
	return raw;
}

/** The same settings, but what is typed is not shown; a line's end still is. */
export function withoutEcho(mode: Uint8Array): Uint8Array {
	const hidden = Buffer.from(mode);
	const flags = new Uint32Array(hidden.buffer, hidden.byteOffset, 4);
	flags[3] = ((flags[3] ?? 0) & ~ECHO) | ECHONL;
	return hidden;
}
