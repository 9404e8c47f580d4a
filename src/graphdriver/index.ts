/**
 * Library entry `lamella/graphdriver`: moby's overlay graph driver API over a layer store.
 *
 * @example
 * ```ts
 * await using driver = await init("/var/lib/example");
 * await driver.create("base", "");
 * await driver.applyDiff("base", "", fs.createReadStream("layer.tar"));
 * await driver.createReadWrite("web1", "base");
 * const root = await driver.get("web1");
 * ```
 */
export type { CreateOptions, DiffDriver, GraphDriver, ProtoDriver } from "./contract.ts";
export { type HeldPlace, holdLayers } from "./home.ts";
export { init } from "./init.ts";
export { StoreGraphDriver } from "./store-graph-driver.ts";
