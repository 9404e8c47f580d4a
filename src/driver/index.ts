export type {
	Driver,
	DriverName,
	HeldSubject,
	LayerJobRunner,
	LayerKind,
	LayerPaths,
	LayerPlace,
	MountDescription,
	MountRequest,
	PreparedApply,
	UnmountOptions,
} from "./driver.ts";
export { DRIVER_NAMES } from "./driver.ts";
export { driverOf, isFlattened, type LayerForm } from "./form.ts";
export { idMappedMountProblem } from "./idmapped-mounts.ts";
export { type OpenDriverOptions, openDriver } from "./open-driver.ts";
export { unmountImage } from "./packed/chain-image.ts";
