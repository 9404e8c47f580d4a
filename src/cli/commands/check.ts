/** `lamella check`: whether the store on disk is what its records say, and putting it right. */
import type { CheckReport, Finding, Store } from "../../api/index.ts";
import { LamellaError } from "../../errors/index.ts";
import { type CommandModule, defineCommand } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { EXIT } from "../exit-code.ts";
import { counted } from "../output/amounts.ts";
import { withoutControls } from "../output/text.ts";

interface Options {
	readonly deep?: boolean | undefined;
	readonly repair?: boolean | undefined;
}

export const command: CommandModule = defineCommand<[names: string[]], Options>({
	configure: (command) => {
		command
			.argument("[name...]", "layers, or images for all their layers (default: the whole store)")
			.option("--deep", "read all that committed layers hold, and compare it with what came in")
			.option("--repair", "put right what can be; nothing that may be wanted is deleted")
			.helpText(
				"Looks at records, directories, mounts and names, also while containers run. Without --repair nothing is changed." +
					" A layer that is a tree of files has no digest: --deep looks for files of it that were written since.\n\n" +
					"Exit code 0: nothing is wrong. 5: all that was wrong was repaired. 1: something is wrong.",
			)
			.examples(
				["lamella check --deep", "every byte of every packed layer"],
				["lamella check --repair", "also where the database is lost: it is made from the layers' own files"],
			);
	},
	run: async (context, [names], { deep, repair }) => {
		await using store = await context.openStore(repair === true ? undefined : "checking");
		const report = await checkWithProgress(context, store, names, { deep, repair });
		if (context.json) context.printJson(jsonOf(report, store.notices));
		else printReport(context, report, deep === true);
		const left = report.findings.filter(({ repaired }) => !repaired);
		if (left.length > 0) throw damaged(left, repair === true);
		if (report.findings.length > 0 || (repair === true && store.notices.length > 0))
			context.exitCode = EXIT.repaired;
	},
});

/** A terminal shows how much of the content was read. */
async function checkWithProgress(
	context: CommandContext,
	store: Store,
	names: readonly string[],
	options: Options,
): Promise<CheckReport> {
	using board = await context.progressBoard();
	return await store.check(names, {
		...options,
		signal: context.signal,
		onProgress: (doneBytes, totalBytes) =>
			board.update("content", { label: "checking", doneBytes, totalBytes, state: "running" }),
	});
}

function jsonOf({ layers, unverified, findings }: CheckReport, notices: readonly string[]): object {
	return {
		checked: layers,
		unverified,
		notices,
		findings: findings.map(({ layer, path, failure, ...finding }) => {
			return { ...finding, layer: layer ?? null, path: path ?? null, failure: failure ?? null };
		}),
	};
}

function printReport(
	context: CommandContext,
	{ layers, unverified, findings }: CheckReport,
	deep: boolean,
): void {
	for (const finding of findings) context.print(...linesOf(finding).map(withoutControls));
	const trees =
		unverified === 0 ? "" : `, of which ${unverified} are trees, with no digests to compare them with`;
	context.note(
		`${counted(layers, "layer")} checked${trees}${deep ? "" : "; --deep reads their content, too"}`,
	);
}

function linesOf({ kind, message, meaning, remedy, canRepair, repaired, failure }: Finding): string[] {
	const lines = [`${message} [${kind}]`, `    ${meaning}`];
	if (repaired) lines.push(`    Repaired: ${remedy}`);
	else if (failure !== undefined) lines.push(`    Not repaired: ${failure}`);
	else lines.push(`    ${canRepair ? "--repair: " : "To do: "}${remedy}`);
	return lines;
}

function damaged(left: readonly Finding[], triedRepair: boolean): LamellaError {
	const repairable = left.filter(({ canRepair }) => canRepair).length;
	const what = left.length === 1 ? "one thing is wrong" : `${left.length} things are wrong`;
	const how =
		triedRepair || repairable === 0
			? "what to do stands with each"
			: `\`lamella check --repair\` puts ${repairable === left.length ? "it" : `${repairable} of them`} right`;
	return new LamellaError("ECORRUPT", `${what} with the store; ${how}`);
}
