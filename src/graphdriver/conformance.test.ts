import path from "node:path";
import { makeDirectory } from "../../test/support/filesystems.ts";
import { graphDriverConformance } from "../../test/support/graphdriver-conformance.ts";
import { init } from "./index.ts";

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
