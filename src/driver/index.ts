export type {
	Driver,
	DriverName,
	LayerKind,
	LayerPlace,
	MountDescription,
	MountRequest,
	UnmountOptions,
} from "./driver.ts";
export { idMappedMountProblem } from "./idmapped-mounts.ts";
export { type OpenDriverOptions, openDriver } from "./open-driver.ts";
export type { CopyTree } from "./vfs/vfs-driver.ts";
