import fc from "fast-check";
import { expect, test } from "vitest";
import { readRuntime } from "./image-runtime.ts";

test("command, environment, directory and user are read", () => {
	const config = {
		Env: ["A=b=c", "=x", "none"],
		Entrypoint: ["/init"],
		Cmd: ["run"],
		WorkingDir: "/srv",
		User: "ann",
	};
	expect(readRuntime({ config })).toEqual({
		command: ["/init", "run"],
		env: { A: "b=c" },
		workingDirectory: "/srv",
		user: "ann",
	});
});

test("whatever JSON it is, what has not the right shape counts as not said", () => {
	fc.assert(
		fc.property(fc.jsonValue(), (document) => {
			expect(readRuntime({ config: document }).workingDirectory).toBeTypeOf("string");
			expect(readRuntime(document).command).toBeInstanceOf(Array);
		}),
	);
});
