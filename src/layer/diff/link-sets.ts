/**
 * Which hard link sets changed between two trees. A file whose content and metadata are the same may still have
 * been linked to, or split from, another one: then every member must be in the layer tar, for it to say so.
 */
import type * as linux from "../../linux/index.ts";
import { InodeMap } from "../tree/walk.ts";

interface LinkSet<T> {
	readonly members: T[];
	/** Inodes of the other tree that its unchanged members have there. */
	readonly counterparts: Set<LinkSet<T>>;
	changed: boolean;
}

/** A file that both trees may have. */
interface Member<T> {
	readonly current: linux.Stat;
	readonly before: linux.Stat | undefined;
	readonly changed: boolean;
	readonly item: T;
}

/** Takes every file of the current tree; grows only with files that have more than one link in either tree. */
export class LinkSets<T> {
	readonly #current = new InodeMap<LinkSet<T>>();
	readonly #before = new InodeMap<LinkSet<T>>();
	readonly #sets: LinkSet<T>[] = [];
	readonly #held = new Set<T>();

	add({ current, before, changed, item }: Member<T>): void {
		if (current.nlink < 2 && (changed || before === undefined || before.nlink < 2)) return;
		const set = this.#setOf(this.#current, current, this.#sets);
		if (changed) {
			set.changed = true;
		} else {
			this.#held.add(item);
			set.members.push(item);
		}
		if (before === undefined || changed) return;
		const old = this.#setOf(this.#before, before);
		set.counterparts.add(old);
		old.counterparts.add(set);
	}

	/** Whether `item` may yet turn out to be in a changed set. */
	holds(item: T): boolean {
		return this.#held.has(item);
	}

	/** The members, unchanged in themselves, of link sets that changed. */
	*changed(): Generator<T> {
		for (const set of this.#sets) {
			const split = [...set.counterparts].some((old) => old.counterparts.size > 1);
			if (set.changed || split || set.counterparts.size > 1) yield* set.members;
		}
	}

	#setOf(map: InodeMap<LinkSet<T>>, stat: linux.Stat, list?: LinkSet<T>[]): LinkSet<T> {
		const known = map.get(stat);
		if (known !== undefined) return known;
		const made: LinkSet<T> = { members: [], counterparts: new Set(), changed: false };
		map.set(stat, made);
		list?.push(made);
		return made;
	}
}
