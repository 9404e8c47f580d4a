/** For tests: a subject's layer tar as bytes. */
import fs from "node:fs";
import path from "node:path";
import type { DiffSubject } from "../contract.ts";
import { writeDiff } from "../diff.ts";
import type { Workplace } from "./overlay-mount.ts";

export function diffToFile(place: Workplace, subject: DiffSubject): Buffer {
	const file = path.join(place.make("tar"), "layer.tar");
	const fd = fs.openSync(file, "w");
	try {
		void writeDiff({ subject, fd }, { checkAborted: () => {}, progress: () => {} });
	} finally {
		fs.closeSync(fd);
	}
	return fs.readFileSync(file);
}
