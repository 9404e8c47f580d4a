/** The snapshots service on the layer store. */
export { snapshotsService } from "./service.ts";
