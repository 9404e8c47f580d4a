import path from "node:path";
import { makeDirectory } from "../../test/support/filesystems.ts";
import { graphDriverConformance } from "../../test/support/graphdriver-conformance.ts";
import { init, naiveDiff } from "./index.ts";

for (const policy of ["always", "auto", "never"] as const) {
	graphDriverConformance(
		`library, lamella.flatten=${policy}`,
		async () => {
			const directory = makeDirectory();
			const home = path.join(directory.path, "home");
			const driver = await init(home, [`lamella.flatten=${policy}`]);
			return {
				driver,
				home,
				async [Symbol.asyncDispose]() {
					await driver.close();
					directory[Symbol.dispose]();
				},
			};
		},
		policy === "auto" ? {} : { layers: 12 },
	);
}

graphDriverConformance(
	"the naive wrapper",
	async () => {
		const directory = makeDirectory();
		const home = path.join(directory.path, "home");
		const inner = await init(home);
		const driver = naiveDiff(inner);
		return {
			driver,
			home,
			async [Symbol.asyncDispose]() {
				await driver.close();
				await inner.close();
				directory[Symbol.dispose]();
			},
		};
	},
	{ layers: 12, appliesInPlace: true },
);
