/** What digest-aside.ts and its thread share: slots of bytes, and Int32 words that say how far each side is. */

/** Slots handed over. */
export const PUSHED = 0;
/** Slots digested. */
export const DIGESTED = 1;
/** Not 0 when no more will be handed over. */
export const ENDED = 2;
/** From here on: the bytes in each slot. */
export const LENGTHS = 3;

/** What the thread is started with. */
export interface DigestThreadData {
	readonly control: SharedArrayBuffer;
	readonly slots: readonly SharedArrayBuffer[];
}
