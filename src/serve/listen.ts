/**
 * A daemon's unix socket: its directory 0700, the socket 0600, one daemon at a time.
 *
 * Who holds the lock on `<socket>.lock` owns the socket; a socket file that nobody answers at is what a killed
 * process left, and is replaced. A socket of somebody else who answers is never touched.
 */
import { chmodSync, lstatSync, readdirSync, rmSync, statSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { LamellaError } from "../errors/index.ts";
import * as linux from "../linux/index.ts";

/**
 * Connections that wait to be accepted. More are refused at once (EAGAIN), and a burst of containers makes hundreds; the
 * kernel cuts this to net.core.somaxconn, 4096 unless it was changed.
 */
const BACKLOG = 4096;

/** sockaddr_un.sun_path holds 108 bytes with the NUL (unix(7)). */
const MAX_PATH_BYTES = 107;

/** A running server. `close` lets calls that are under way end, then lets go of what it has; mounts stay. */
export interface RunningServer extends AsyncDisposable {
	close(): Promise<void>;
}

/** However often it is closed, it is shut down once. */
export function runningServer(shutDown: () => Promise<void>): RunningServer {
	let closing: Promise<void> | undefined;
	const close = (): Promise<void> => {
		closing ??= shutDown();
		return closing;
	};
	return { close, [Symbol.asyncDispose]: close };
}

/** The right to listen at a path. `release` gives it back and removes the socket file. */
export interface SocketClaim extends Disposable {
	readonly path: string;
	/** To be called once something is bound to the path. */
	restrict(): void;
	release(): void;
}

/**
 * Makes the directory, takes the lock and removes a stale socket file. After this the caller may bind.
 * @throws {LamellaError} `EINVALID` (path), `ECONFIG` (its directory cannot be made, or others can write to it),
 *   `EEXISTS` (no socket is there), `EBUSY` (somebody listens)
 */
export async function claimSocket(socketPath: string): Promise<SocketClaim> {
	if (!path.isAbsolute(socketPath) || Buffer.byteLength(socketPath) > MAX_PATH_BYTES) {
		throw new LamellaError(
			"EINVALID",
			`socket path "${socketPath}" must be absolute and at most ${MAX_PATH_BYTES} bytes long`,
			{ path: socketPath },
		);
	}
	claimDirectory(path.dirname(socketPath));
	const lockPath = `${socketPath}.lock`;
	const lock = takeLock(lockPath, socketPath);
	try {
		await removeStale(socketPath);
	} catch (error) {
		rmSync(lockPath, { force: true });
		linux.close(lock);
		throw error;
	}
	let held = true;
	const release = (): void => {
		if (!held) return;
		held = false;
		rmSync(socketPath, { force: true });
		rmSync(lockPath, { force: true });
		linux.close(lock);
	};
	return {
		path: socketPath,
		restrict: () => chmodSync(socketPath, 0o600),
		release,
		[Symbol.dispose]: release,
	};
}

/** Listens at a claimed path; the socket is 0600 from its first moment. */
export async function listenAt(server: net.Server, claim: SocketClaim): Promise<void> {
	const listening = new Promise<void>((resolve, reject) => {
		server.once("error", reject);
		server.once("listening", resolve);
	});
	// bind(2) happens within listen(), so the mask is this call's alone.
	const before = process.umask(0o177);
	try {
		server.listen({ path: claim.path, backlog: BACKLOG });
	} finally {
		process.umask(before);
	}
	await listening;
	claim.restrict();
}

function claimDirectory(directory: string): void {
	if (linux.makeDirectory(directory, 0o700)) return;
	const { uid, mode } = statSync(directory);
	if (uid !== process.geteuid?.()) throw replaceable(directory, `it belongs to uid ${uid}`);
	if ((mode & 0o077) === 0) return;
	// A directory that is there only for sockets is ours to close; /run or /tmp are not.
	if (holdsOnlySockets(directory)) chmodSync(directory, 0o700);
	else if ((mode & 0o1002) === 0o002) throw replaceable(directory, "all users can write to it");
}

function replaceable(directory: string, why: string): LamellaError {
	return new LamellaError(
		"ECONFIG",
		`a socket in ${directory} could be replaced by another user's: ${why}; choose another --socket`,
		{ path: directory },
	);
}

function holdsOnlySockets(directory: string): boolean {
	return readdirSync(directory, { withFileTypes: true }).every(
		(entry) => entry.isSocket() || entry.name.endsWith(".sock.lock"),
	);
}

function takeLock(lockPath: string, socketPath: string): number {
	for (;;) {
		const fd = linux.openat(linux.AT_FDCWD, lockPath, linux.O_RDWR | linux.O_CREAT | linux.O_NOFOLLOW, 0o600);
		if (!linux.flock(fd, linux.LOCK_EX | linux.LOCK_NB)) {
			linux.close(fd);
			throw listens(socketPath);
		}
		// The last holder removes the file: what was locked here must still be what the name means.
		const named = linux.tryFstatat(linux.AT_FDCWD, lockPath);
		if (named !== undefined && named.ino === linux.fstat(fd).ino) return fd;
		linux.close(fd);
	}
}

async function removeStale(socketPath: string): Promise<void> {
	const stat = lstatSync(socketPath, { throwIfNoEntry: false });
	if (stat === undefined) return;
	if (!stat.isSocket()) {
		throw new LamellaError("EEXISTS", `${socketPath} is there and is not a socket; choose another path`, {
			path: socketPath,
		});
	}
	if (await answers(socketPath)) throw listens(socketPath);
	rmSync(socketPath);
}

function answers(socketPath: string): Promise<boolean> {
	return new Promise((resolve) => {
		const probe = net.connect(socketPath);
		probe.once("connect", () => {
			probe.destroy();
			resolve(true);
		});
		// ECONNREFUSED and ENOENT: nobody listens. Anything else (EACCES, EAGAIN): somebody does.
		probe.once("error", (error: NodeJS.ErrnoException) =>
			resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT"),
		);
	});
}

function listens(socketPath: string): LamellaError {
	const message = `another process listens at ${socketPath}; stop it, or choose another --socket`;
	return new LamellaError("EBUSY", message, { path: socketPath });
}
