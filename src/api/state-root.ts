/** Which directory is the state root: the one place that says so, for the library, the command line and the daemons. */
import { LamellaError } from "../errors/index.ts";

const DEFAULT_ROOT = "/var/lib/lamella";

/**
 * What was given, else the environment variable LAMELLA_ROOT, else `/var/lib/lamella`. An empty value is an unset variable of
 * some script, and the default would be another store than the one that was meant.
 * @throws {LamellaError} `ECONFIG` where it is empty
 */
export function stateRoot(given: string | undefined): string {
	const root = given ?? process.env.LAMELLA_ROOT ?? DEFAULT_ROOT;
	if (root !== "") return root;
	const from = given === undefined ? "LAMELLA_ROOT is" : "the state root is";
	throw new LamellaError("ECONFIG", `${from} empty; name a directory, or leave it out for ${DEFAULT_ROOT}`);
}
