export type {
	Checked,
	Driver,
	DriverName,
	HeldSubject,
	LayerJobRunner,
	LayerKind,
	LayerPaths,
	LayerPlace,
	LayerProblem,
	MadeRoot,
	MountDescription,
	MountRequest,
	PreparedApply,
	Sealing,
	UnmountOptions,
} from "./driver.ts";
export { DRIVER_NAMES } from "./driver.ts";
export { driverOf, foldedLayers, hasFixedChain, isFlattened, type LayerForm, standsAlone } from "./form.ts";
export { idMappedMountProblem } from "./idmapped-mounts.ts";
export { type OpenDriverOptions, openDriver } from "./open-driver.ts";
export { unmountImage } from "./packed/chain-image.ts";
export { holdersOf, isMountPoint, unmountTree } from "./unmount.ts";
