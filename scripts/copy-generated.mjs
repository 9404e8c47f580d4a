// tsc leaves JavaScript that has declarations beside it where it is; this puts the generated code into dist/.
import { cpSync } from "node:fs";

const generated = "serve/containerd/generated";
cpSync(new URL(`../src/${generated}`, import.meta.url), new URL(`../dist/${generated}`, import.meta.url), {
	recursive: true,
});
