/** Typed system calls: see native/linux.c for how they are made. `import * as linux from "../linux/index.ts"`. */

export { escapePath } from "../errors/index.ts";
export * from "./attributes.ts";
export * from "./clock.ts";
export * from "./constants.ts";
export * from "./directory.ts";
export * from "./dist-file.ts";
export { isSystemError, SystemError } from "./errno.ts";
export * from "./files.ts";
export * from "./in-root.ts";
export * from "./io-priority.ts";
export * from "./make-directory.ts";
export * from "./mount.ts";
export * from "./mountinfo.ts";
export * from "./namespaces.ts";
export type { Path } from "./native.ts";
export * from "./path-locks.ts";
export * from "./processes.ts";
export * from "./stat.ts";
export * from "./terminal.ts";
export * from "./xattr.ts";
