/** For tests: a subject's layer tar as bytes. */
import fs from "node:fs";
import path from "node:path";
import type { DiffSubject } from "../contract.ts";
import { writeDiff } from "../diff/diff.ts";
import type { DiffRequest, DiffResult } from "../jobs/job-contract.ts";
import { jobContext } from "./edited-layer.ts";
import type { Workplace } from "./overlay-mount.ts";

export function diffToFile(
	place: Workplace,
	subject: DiffSubject,
	options: Partial<DiffRequest> = {},
): { readonly tar: Buffer; readonly result: DiffResult } {
	const file = path.join(place.make("tar"), "layer.tar");
	const fd = fs.openSync(file, "wx");
	try {
		const result = writeDiff({ ...options, subject, fd }, jobContext);
		return { tar: fs.readFileSync(file), result };
	} finally {
		fs.closeSync(fd);
	}
}
