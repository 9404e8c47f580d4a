/**
 * Shell completion: `lamella completion SHELL` prints a script, which calls `lamella complete -- WORDS` at every TAB with the
 * words up to the cursor. The answer is a line for each candidate, `word<TAB>description`; the line `:files` asks the
 * shell for its files. The scripts may be sourced any number of times.
 */
import { LamellaError } from "../errors/index.ts";
import { COMMANDS } from "./command-table.ts";
import { findCommand, GLOBAL_OPTIONS, syntaxOf } from "./program.ts";
import { CommandSyntax, type OptionSyntax } from "./syntax.ts";

const SCRIPTS = {
	bash: `_lamella() {
	local line cur=\${COMP_WORDS[COMP_CWORD]}
	COMPREPLY=()
	while IFS= read -r line; do
		if [ "$line" = :files ]; then
			compopt -o filenames 2>/dev/null
			while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "\${cur#=}")
		else
			COMPREPLY+=("\${line%%$'\\t'*}")
		fi
	done < <(lamella complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _lamella lamella
`,
	zsh: `#compdef lamella
_lamella() {
	local line
	local -a found
	for line in \${(f)"$(lamella complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)"}; do
		if [[ $line == :files ]]; then
			_files
		else
			found+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
		fi
	done
	(( $#found )) && _describe lamella found
}
if [[ \${funcstack[1]} == _lamella ]]; then
	_lamella "$@"
elif (( $+functions[compdef] )); then
	compdef _lamella lamella
fi
`,
	fish: `function __lamella_complete
	set -l before (commandline -opc)
	set -l current (commandline -ct)
	for line in (lamella complete -- $before[2..-1] "$current" 2>/dev/null)
		if test "$line" = :files
			__fish_complete_path "$current"
		else
			echo $line
		end
	end
end
complete -c lamella -e
complete -c lamella -f -a '(__lamella_complete)'
`,
} as const;

const SHELLS = Object.keys(SCRIPTS) as (keyof typeof SCRIPTS)[];

/** What arguments and options are called whose values are paths. */
const PATHS: ReadonlySet<string> = new Set(["dir", "file", "output", "path", "source", "tar"]);

/** @throws {LamellaError} `EINVALID` for another shell */
export function completionScript(shell: string | undefined): string {
	const known = SHELLS.find((each) => each === shell);
	if (known === undefined) throw new LamellaError("EINVALID", `say for which shell: ${SHELLS.join(", ")}`);
	return SCRIPTS[known];
}

/** The lines for the last of the words, which may be empty or begun. */
export async function complete(words: readonly string[]): Promise<readonly string[]> {
	const current = words.at(-1) ?? "";
	const found = await candidates(words.slice(0, -1), current);
	return found.filter((line) => line === FILES || line.startsWith(current));
}

const FILES = ":files";

async function candidates(before: readonly string[], current: string): Promise<readonly string[]> {
	let syntax: CommandSyntax | undefined;
	let options: readonly OptionSyntax[] = GLOBAL_OPTIONS;
	let places = 0;
	let pending: OptionSyntax | undefined;
	for (const word of before) {
		// bash takes `--name=value` for three words.
		if (word === "=") continue;
		if (pending !== undefined) pending = undefined;
		else if (word.startsWith("-")) {
			pending = options.find(({ names, value }) => value !== undefined && names.includes(word));
		} else if (syntax !== undefined) places++;
		else if (word === "completion") syntax = new CommandSyntax().argument("<shell>", "", SHELLS);
		else if (word !== "help") {
			const entry = findCommand(word);
			if (entry === undefined) return [];
			syntax = await syntaxOf(entry);
			options = [...syntax.options, ...options];
		}
	}
	if (pending !== undefined) return values(pending.value, pending.choices);
	if (syntax?.passesThrough === true && places > 0) return [FILES];
	if (current.startsWith("-")) {
		return options.map(({ names, description }) => `${names.at(-1)}\t${description}`);
	}
	if (syntax === undefined) {
		const more = ["help\tshow help for a command", "completion\tprint a completion script for a shell"];
		return [...COMMANDS.map(({ name, summary }) => `${name}\t${summary}`), ...more];
	}
	const last = syntax.arguments.at(-1);
	const place = syntax.arguments[places] ?? (last?.variadic === true ? last : undefined);
	return values(place?.name, place?.choices);
}

function values(name: string | undefined, choices: readonly string[] | undefined): readonly string[] {
	return choices ?? (name !== undefined && PATHS.has(name) ? [FILES] : []);
}
