/** The option `--skip-unsupported` of the commands that write layers. */
import { type OptionSyntax, option } from "./syntax.ts";

export function skipUnsupportedOption(): OptionSyntax {
	return option(
		"--skip-unsupported",
		"go on where a layer cannot say a change (to a file named .wh.*), with a warning",
	);
}
