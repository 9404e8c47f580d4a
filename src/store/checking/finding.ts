/** One thing that a check found, and what becomes of it. */
import type { LayerId } from "../contract.ts";
import { FINDING_KINDS, type FindingKind } from "./finding-kinds.ts";

export interface Finding {
	readonly kind: FindingKind;
	readonly layer?: LayerId | undefined;
	readonly path?: string | undefined;
	/** What is wrong, and where. */
	readonly message: string;
	/** What it means for the store's user. */
	readonly meaning: string;
	/** What a repair does, or what a person has to do. */
	readonly remedy: string;
	readonly canRepair: boolean;
	readonly repaired: boolean;
	/** Why a repair did not work. */
	readonly failure?: string | undefined;
}

/** As a part of the check finds it. */
export interface Found {
	readonly kind: FindingKind;
	readonly layer?: LayerId | undefined;
	readonly path?: string | undefined;
	readonly message: string;
	/** Absent where this one cannot be repaired. */
	readonly repair?: (() => Promise<unknown>) | undefined;
}

/** Repairs what was found where that is asked for. */
export async function settle(found: Found, repair: boolean): Promise<Finding> {
	const { kind, layer, path, message } = found;
	const { meaning, remedy } = FINDING_KINDS[kind];
	const seen = { kind, layer, path, message, meaning, remedy, canRepair: found.repair !== undefined };
	if (!repair || found.repair === undefined) return { ...seen, repaired: false };
	try {
		await found.repair();
		return { ...seen, repaired: true };
	} catch (error) {
		return { ...seen, repaired: false, failure: error instanceof Error ? error.message : String(error) };
	}
}
