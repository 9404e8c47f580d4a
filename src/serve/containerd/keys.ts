/**
 * Which layers are containerd's: those whose id begins with `containerd/`, followed by the key or name.
 *
 * containerd's garbage collection removes every snapshot that it is shown and does not know. So it is shown nothing
 * of what the command line, a program or dockerd keeps in the same store, and can name nothing of it.
 */
import { LamellaError } from "../../errors/index.ts";
import { type LayerId, CONTAINERD_PREFIX as PREFIX, parseLayerId } from "../../store/index.ts";

/** @throws {LamellaError} `EINVALID` for a key that is empty, too long, or holds control characters */
export function layerIdOf(key: string): LayerId {
	if (key === "") throw new LamellaError("EINVALID", "a snapshot's key or name cannot be empty");
	return parseLayerId(PREFIX + key);
}

export function isSnapshot(id: LayerId): boolean {
	return id.startsWith(PREFIX);
}

/** A message of the store's with the keys as containerd knows them. */
export function withKeys(message: string): string {
	return message.replaceAll(`layer "${PREFIX}`, 'snapshot "').replaceAll(`"${PREFIX}`, '"');
}

/** The key or name; of a layer that is not containerd's the whole id. */
export function snapshotKeyOf(id: LayerId): string {
	return isSnapshot(id) ? id.slice(PREFIX.length) : id;
}
