import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("../", import.meta.url).href;

export async function resolve(specifier, context, next) {
	const resolved = await next(specifier, context);
	if (resolved.url.startsWith(`${root}src/`) && resolved.url.endsWith(".ts")) {
		return { ...resolved, url: resolved.url.replace(`${root}src/`, `${root}dist/`).replace(/\.ts$/, ".js") };
	}
	return resolved;
}

export async function load(url, context, next) {
	if (!url.endsWith(".ts")) return next(url, context);
	const { default: ts } = await import("typescript");
	const { outputText } = ts.transpileModule(readFileSync(fileURLToPath(url), "utf8"), {
		fileName: fileURLToPath(url),
		compilerOptions: {
			module: ts.ModuleKind.ESNext,
			target: ts.ScriptTarget.ES2022,
			verbatimModuleSyntax: true,
			inlineSourceMap: true,
		},
	});
	return { format: "module", source: outputText, shortCircuit: true };
}
