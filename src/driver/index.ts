export type { Driver, LayerKind, LayerPlace, MountDescription, MountRequest } from "./driver.ts";
