/**
 * A path within a tree as its last name and the path above: what a walk carries along costs a name a level, however
 * deep it is, and the bytes are put together only where they are needed.
 */
import { LamellaError } from "../../errors/index.ts";
import * as linux from "../../linux/index.ts";

/**
 * The longest path that changes, diff, apply and commit take. A process reaches any depth by `cd`, so that PATH_MAX
 * (4,096) does not bound what a container can make; 32 KiB is eight times that, and bounds what one file's path costs.
 */
export const PATH_BYTES_MAX = 32_767;

const SLASH = 0x2f;
const NO_NAME = Buffer.alloc(0);

export class TreePath {
	/** The tree's own directory. */
	static readonly root: TreePath = new TreePath(undefined, NO_NAME);

	readonly parent: TreePath | undefined;
	/** Empty for the root. */
	readonly name: Buffer;
	readonly lengthBytes: number;

	private constructor(parent: TreePath | undefined, name: Buffer) {
		this.parent = parent;
		this.name = name;
		this.lengthBytes = (parent === undefined || parent.isRoot ? 0 : parent.lengthBytes + 1) + name.length;
	}

	get isRoot(): boolean {
		return this.parent === undefined;
	}

	child(name: Buffer): TreePath {
		return new TreePath(this, name);
	}

	/** As `child`. @throws {LamellaError} `ETAR` where no layer could hold the path */
	childInLayer(name: Buffer): TreePath {
		const child = new TreePath(this, name);
		if (child.lengthBytes > PATH_BYTES_MAX) throw pathTooLong(child.bytes);
		return child;
	}

	/** `a/b/c`; empty for the root. */
	get bytes(): Buffer {
		const bytes = Buffer.allocUnsafe(this.lengthBytes);
		let end = bytes.length;
		for (let at: TreePath = this; at.parent !== undefined; at = at.parent) {
			const { name } = at;
			// A loop: calls for a few bytes each would cost many times as much.
			for (let i = name.length - 1; i >= 0; i--) bytes[--end] = name[i] as number;
			if (end > 0) bytes[--end] = SLASH;
		}
		return bytes;
	}

	/** The names from the top. */
	get names(): Buffer[] {
		const names: Buffer[] = [];
		for (let at: TreePath = this; at.parent !== undefined; at = at.parent) names.push(at.name);
		return names.reverse();
	}

	/** For people. */
	toString(): string {
		return this.isRoot ? "/" : linux.escapePath(this.bytes);
	}
}

export function pathTooLong(path: Uint8Array): LamellaError {
	const start = linux.escapePath(path.subarray(0, 60));
	return new LamellaError(
		"ETAR",
		`the path "${start}…" has ${path.length} bytes, and a layer takes ${PATH_BYTES_MAX}; make its directories less deep`,
		{ path: start },
	);
}
