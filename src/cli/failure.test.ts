import { expect, test } from "vitest";
import { ERROR_CODES, type ErrorCode, LamellaError } from "../errors/index.ts";
import { EXIT, EXIT_CODE_MEANINGS, exitCodeFor } from "./exit-code.ts";
import { describeFailure, failureAsJson } from "./failure.ts";

test("a failure is one line that begins with the program's name and ends with the system's reason", () => {
	const cause = Object.assign(new Error("EROFS: read-only file system, mkdir"), { code: "EROFS" });
	const failure = describeFailure(new LamellaError("ESYSTEM", "cannot make /x", { cause }), false);
	expect(failure).toEqual({
		exitCode: EXIT.failure,
		text: "lamella: cannot make /x (EROFS: read-only file system, mkdir)",
	});
});

test("debug adds stacks and causes", () => {
	const cause = new Error("inner");
	const { text } = describeFailure(new LamellaError("ETAR", "outer", { cause }), true);
	expect(text).toContain("failure.test.ts");
	expect(text).toContain("caused by Error: inner");
	expect(text).toContain("[ETAR]");
});

test("when a disposal fails after the work has, both are told, the work's failure first", () => {
	const folded = new SuppressedError(
		new LamellaError("EBUSY", "cannot unmount"),
		new LamellaError("ENOTFOUND", "no command"),
	);
	expect(describeFailure(folded, false)).toEqual({
		exitCode: EXIT.notFound,
		text: "lamella: no command\nlamella: and after that: cannot unmount",
	});
});

test("a cause that is its own cause does not hang it", () => {
	const error = new Error("round");
	error.cause = error;
	expect(describeFailure(error, true).text).toContain("round");
});

test("what is no LamellaError is owned up to as a fault", () => {
	expect(describeFailure(new TypeError("x is not a function"), false).text).toContain("fault in lamella");
	expect(describeFailure("thrown text", false)).toMatchObject({ exitCode: 1 });
});

test("control characters in a message are made harmless", () => {
	expect(describeFailure(new LamellaError("EINVALID", "bad \x1b[2J name"), false).text).not.toContain("\x1b");
});

test("JSON carries the code, the layer and the path", () => {
	expect(failureAsJson(new LamellaError("ENOTFOUND", "no", { layer: "web1" }), false)).toEqual({
		error: { code: "ENOTFOUND", message: "no", layer: "web1", path: undefined },
	});
});

test("JSON tells what failed after it, too, and with debug where", () => {
	const folded = new SuppressedError(new TypeError("x is not a function"), new LamellaError("ETAR", "short"));
	expect(failureAsJson(folded, true)).toMatchObject({
		error: {
			code: "ETAR",
			debug: [expect.stringContaining("failure.test.ts")],
			after: [{ code: "EUNKNOWN", message: "x is not a function" }],
		},
	});
});

test("every error code has an exit code that is documented", () => {
	const documented = EXIT_CODE_MEANINGS.map(([code]) => code);
	for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) expect(documented).toContain(exitCodeFor(code));
});
