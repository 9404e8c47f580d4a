/**
 * Loaded into a served process (`node --import`): at SIGUSR2 it has V8 give back all that it can, and writes how many
 * bytes the JavaScript heap still holds to the file in LAMELLA_TEST_HEAP_FILE, a line each time. Plain JavaScript: to load
 * TypeScript takes 40 MB, which would be measured.
 */
import { appendFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { isMainThread } from "node:worker_threads";

const file = process.env.LAMELLA_TEST_HEAP_FILE;
if (isMainThread && file !== undefined) {
	setFlagsFromString("--expose-gc");
	const collect = runInNewContext("gc");
	process.on("SIGUSR2", () => {
		collect({ type: "major", flavor: "last-resort" });
		appendFileSync(file, `${process.memoryUsage().heapUsed}\n`);
	});
}
