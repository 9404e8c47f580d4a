/** Driver options (`dockerd --storage-opt KEY=VALUE`, plugin protocol `Opts`) and per-container storage options. */

import { DRIVER_NAMES, type DriverName } from "../driver/index.ts";
import { LamellaError } from "../errors/index.ts";
import type { FlattenPolicy } from "../store/index.ts";

export interface DriverOptions {
	readonly flatten?: FlattenPolicy | undefined;
	readonly driver?: DriverName | undefined;
}

const CHOICES = {
	"lamella.flatten": ["always", "auto", "never"],
	"lamella.driver": DRIVER_NAMES,
} as const;

/**
 * Reads `KEY=VALUE` options. Keys are compared without case, as moby does.
 * @throws {LamellaError} `EINVALID` for an unknown key or value, named in the message
 */
export function parseDriverOptions(options: readonly string[]): DriverOptions {
	const found: { -readonly [K in keyof DriverOptions]: DriverOptions[K] } = {};
	for (const option of options) {
		const equals = option.indexOf("=");
		if (equals < 0) {
			throw new LamellaError("EINVALID", `storage option "${option}" is not of the form KEY=VALUE`);
		}
		const key = option.slice(0, equals).trim().toLowerCase();
		const value = option.slice(equals + 1).trim();
		switch (key) {
			case "lamella.flatten":
				found.flatten = oneOf(key, value);
				break;
			case "lamella.driver":
				found.driver = oneOf(key, value);
				break;
			default:
				throw new LamellaError(
					"EINVALID",
					`storage option "${key}" is not known; there are ${Object.keys(CHOICES).join(" and ")}`,
				);
		}
	}
	return found;
}

function oneOf<K extends keyof typeof CHOICES>(key: K, value: string): (typeof CHOICES)[K][number] {
	const allowed: readonly (typeof CHOICES)[K][number][] = CHOICES[key];
	const choice = allowed.find((known) => known === value);
	if (choice === undefined) {
		throw new LamellaError("EINVALID", `${key}="${value}" is not known; it is one of ${allowed.join(", ")}`);
	}
	return choice;
}

/** There are no options for one container yet: whatever is asked for is refused by name, never ignored. */
export function checkStorageOptions(storageOpt: Readonly<Record<string, string>> | undefined): void {
	const first = Object.keys(storageOpt ?? {})[0];
	if (first !== undefined) {
		throw new LamellaError("EINVALID", `storage option "${first}" is not supported for a single layer`);
	}
}
