import { expect, test } from "vitest";
import { parseChallenges } from "./challenge.ts";

test.each([
	[undefined, []],
	['Basic realm="all of it"', [["basic", { realm: "all of it" }]]],
	[
		'Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push"',
		[
			[
				"bearer",
				{ realm: "https://auth.example/token", service: "registry", scope: "repository:a/b:pull,push" },
			],
		],
	],
	["bearer REALM=x , service=y", [["bearer", { realm: "x", service: "y" }]]],
	[
		'Basic realm="a \\"b\\"", Bearer realm="c"',
		[
			["basic", { realm: 'a "b"' }],
			["bearer", { realm: "c" }],
		],
	],
	[
		"Negotiate YIIabc==, Basic realm=x",
		[
			["negotiate", {}],
			["basic", { realm: "x" }],
		],
	],
	[
		["Negotiate", 'Basic realm="x"'],
		[
			["negotiate", {}],
			["basic", { realm: "x" }],
		],
	],
	['Bearer realm="never ends', [["bearer", {}]]],
	["=,=", []],
])("%j", (header, expected) => {
	const found = parseChallenges(header as string | string[] | undefined);
	expect(found.map(({ scheme, parameters }) => [scheme, parameters])).toEqual(expected);
});
