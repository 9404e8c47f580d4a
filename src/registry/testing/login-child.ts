/** Writes many entries into a file of credentials, one after the other: FILE PREFIX COUNT. */
import { replaceEntry } from "../credentials/auth-file.ts";

const [file = "", prefix = "", count = "0"] = process.argv.slice(2);
for (let i = 0; i < Number(count); i++) replaceEntry(file, `${prefix}-${i}`, { auth: "YTpi" });
