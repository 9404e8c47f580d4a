/**
 * What the command has as stdin, stdout and stderr. It never has the caller's terminal itself: a process that has a terminal can
 * type into it (TIOCSTI) and change its settings.
 *
 * - stdin and stdout are terminals, and the caller is in its foreground: the command has a terminal of its own, as with
 *   `docker run -it`.
 * - Else a terminal among the three is a pipe to it, as with `docker run -i`.
 * - Anything else (a file, a pipe, /dev/null) is given to the command as it is.
 *
 * Between these and the caller's, `pump` carries the bytes: synchronous, in the command's own thread.
 */
import { isatty } from "node:tty";
import * as linux from "../linux/index.ts";
import type { RunRequest } from "./contract.ts";

/** Bytes that go from one descriptor to another. */
interface Channel {
	readonly from: number;
	/** Undefined where it is gone: what comes is thrown away, so that the command never waits for it. */
	to: number | undefined;
	/** Read and not yet written. */
	pending: Uint8Array;
	/** Towards the command. */
	readonly isInput: boolean;
}

export interface Stdio extends Disposable {
	/** The command's. */
	readonly fds: readonly [number, number, number];
	/** The outside of its terminal. Not closed with the rest: the caller's thread uses it, too. */
	readonly master: number | undefined;
	readonly channels: readonly Channel[];
	/** Closes what only the command is to have, once it has it. */
	closeInside(): void;
	/** Closes the caller's end of a pipe. */
	closeOutside(fd: number): void;
}

/** The group of terminals, by convention; also that of the devpts in thread.ts. */
export const TTY_GID = 5;

/** @param openTerminal makes a new one */
export function makeStdio(
	openTerminal: () => linux.PseudoTerminal,
	{ terminal, uid, gid }: RunRequest,
): Stdio {
	const inside: number[] = [];
	const outside = new Set<number>();
	const channels: Channel[] = [];
	const closeInside = (): void => {
		for (const fd of inside) linux.close(fd);
	};
	const closeOutside = (fd: number): void => {
		if (outside.delete(fd)) linux.close(fd);
	};
	const common = {
		channels,
		closeInside,
		closeOutside,
		[Symbol.dispose]: (): void => outside.forEach(closeOutside),
	};
	const connect = (from: number, to: number): void => {
		channels.push({ from, to, pending: NOTHING, isInput: from === 0 });
	};
	if (terminal) {
		const { master, slave } = openTerminal();
		inside.push(slave);
		linux.fchown(slave, uid, TTY_GID);
		linux.setWindowSize(master, linux.windowSize(1));
		connect(0, master);
		connect(master, 1);
		return { fds: [slave, slave, isatty(2) ? slave : 2], master, ...common };
	}
	const piped = (fd: 0 | 1 | 2): number => {
		if (!isatty(fd)) return fd;
		const { readFd, writeFd } = linux.pipe2();
		const own = fd === 0 ? readFd : writeFd;
		// The command may open it again, by /dev/stdout.
		linux.fchown(own, uid, gid);
		inside.push(own);
		outside.add(fd === 0 ? writeFd : readFd);
		if (fd === 0) {
			linux.setNonblocking(writeFd);
			connect(0, writeFd);
		} else {
			connect(readFd, fd);
		}
		return own;
	};
	return { fds: [piped(0), piped(1), piped(2)], master: undefined, ...common };
}

const NOTHING = new Uint8Array(0);
/** The thread can be ended only between two waits. */
const WAIT_MS = 200;
const SIGHUP = 1;

/** Carries bytes until the process of `pidfd` ends. */
export function pump(pidfd: number, { channels, closeOutside }: Stdio): void {
	const open = new Set(channels);
	for (;;) {
		const polled = [...open];
		const [ended, ...ready] = linux.poll(
			[{ fd: pidfd, events: linux.POLLIN }, ...polled.map(waitOf)],
			WAIT_MS,
		);
		if (ended !== 0) return;
		for (const [index, channel] of polled.entries()) {
			if (ready[index] === 0) continue;
			const went = carry(channel);
			if (went === "on") continue;
			if (channel.isInput || went === "end") open.delete(channel);
			if (!channel.isInput && went === "gone") {
				// The caller's terminal is closed: the command is told as its own would tell it.
				channel.to = undefined;
				linux.pidfdSendSignal(pidfd, SIGHUP);
			}
			if (channel.isInput && channel.to !== undefined) closeOutside(channel.to);
		}
	}
}

/** Writes what the command left, when nobody can write any more. */
export function drain({ channels }: Stdio): void {
	for (const channel of channels) {
		if (channel.isInput) continue;
		for (;;) {
			const isWriting = channel.pending.length > 0;
			const [ready] = linux.poll([waitOf(channel)], isWriting ? WAIT_MS : 0);
			if (ready === 0 && isWriting) continue;
			if (ready === 0 || carry(channel) !== "on") break;
		}
	}
}

const waitOf = ({ from, to, pending }: Channel): { fd: number; events: number } =>
	pending.length > 0 && to !== undefined
		? { fd: to, events: linux.POLLOUT }
		: { fd: from, events: linux.POLLIN };

const chunk = new Uint8Array(new ArrayBuffer(16 * 1024));

/** Reads or writes once: `end` where nothing more comes, `gone` where it cannot be written. */
function carry(channel: Channel): "on" | "end" | "gone" {
	const { from, to, pending } = channel;
	try {
		if (pending.length > 0 && to !== undefined) {
			channel.pending = pending.subarray(linux.writeSome(to, pending));
			return "on";
		}
		const length = linux.read(from, chunk);
		channel.pending = to === undefined ? NOTHING : chunk.slice(0, length);
		return length === 0 ? "end" : "on";
	} catch (error) {
		// EIO is how a terminal says that its other side was closed.
		if (linux.isSystemError(error, "EIO", "EPIPE")) return error.syscall === "write" ? "gone" : "end";
		if (linux.isSystemError(error, "EAGAIN")) return "on";
		throw error;
	}
}
