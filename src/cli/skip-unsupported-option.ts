/** The option of every command that writes layer tars. */
import { Option } from "commander";

export function skipUnsupportedOption(): Option {
	return new Option(
		"--skip-unsupported",
		"go on where a layer cannot say a change (to a file named .wh.*), with a warning",
	);
}
