/**
 * Thrown by the parts of this room that look at bytes; the reader, which knows the entry and the offset, turns
 * it into the LamellaError ETAR that callers see.
 */
export class Malformed extends Error {
	override readonly name: string = "Malformed";
}

/** Where a header should be stands something else: what would be its fields says nothing. */
export class NotAHeader extends Malformed {
	override readonly name = "NotAHeader";
}
