/** Snapshots whose users have other numbers: what their labels ask for, and what they then stand on. */
export { IdMappedParent } from "./id-mapped-parent.ts";
export { idMapOptions, idMapsOf, isShifted } from "./labels.ts";
export { ShiftedLayers, shownParent } from "./shifted-layers.ts";
