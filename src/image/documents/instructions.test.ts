import { describe, expect, it } from "vitest";
import { applyInstruction, type RuntimeConfig } from "./instructions.ts";

function edit(config: RuntimeConfig, ...instructions: string[]): RuntimeConfig {
	return instructions.reduce(applyInstruction, config);
}

describe("commit's changes", () => {
	it("knows the exec form and the shell form of CMD and ENTRYPOINT", () => {
		expect(edit({}, 'CMD ["a", "b c"]')).toEqual({ Cmd: ["a", "b c"] });
		expect(edit({}, "cmd echo hi")).toEqual({ Cmd: ["/bin/sh", "-c", "echo hi"] });
		expect(edit({ Cmd: ["old"] }, 'ENTRYPOINT ["/init"]')).toEqual({ Entrypoint: ["/init"] });
	});

	it("replaces a variable of the same name and keeps the others", () => {
		expect(edit({ Env: ["A=1", "B=2"] }, 'ENV A="x y" C=3')).toEqual({ Env: ["B=2", "A=x y", "C=3"] });
		expect(edit({}, "ENV PATH /bin:/usr/bin and more")).toEqual({ Env: ["PATH=/bin:/usr/bin and more"] });
	});

	it("adds labels, ports and volumes to those there are", () => {
		expect(
			edit(
				{ Labels: { a: "1" } },
				"LABEL b='2 3' a=4",
				"EXPOSE 80 53/udp",
				'VOLUME ["/data"]',
				"VOLUME /x /y",
			),
		).toEqual({
			Labels: { a: "4", b: "2 3" },
			ExposedPorts: { "80/tcp": {}, "53/udp": {} },
			Volumes: { "/data": {}, "/x": {}, "/y": {} },
		});
	});

	it("resolves a relative WORKDIR against the one before", () => {
		expect(edit({}, "WORKDIR /a", "WORKDIR b/../c", "USER 1:2", "STOPSIGNAL SIGINT")).toEqual({
			WorkingDir: "/a/c",
			User: "1:2",
			StopSignal: "SIGINT",
		});
	});

	it.each(["", "CMD", "RUN x", "ENV A", "ENV =x", 'LABEL a="b', "EXPOSE http", "EXPOSE 80;81"])(
		"refuses %j",
		(text) => {
			expect(() => edit({}, text)).toThrowError(expect.objectContaining({ code: "EINVALID" }));
		},
	);
});
