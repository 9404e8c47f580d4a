import { boxedDriver } from "../driver/testing/boxed-driver.ts";
import { openLayerStore } from "./open-store.ts";
import { layerStoreConformance } from "./testing/layer-store-conformance.ts";

for (const flatten of ["always", "auto", "never"] as const) {
	layerStoreConformance(
		`overlay, ${flatten}`,
		(root) => openLayerStore({ root, driver: "overlay", flatten }),
		{
			driver: "overlay",
			flatten,
		},
	);
}
layerStoreConformance("packed", (root) => openLayerStore({ root, driver: "packed" }), {
	driver: "packed",
	flatten: "auto",
});
layerStoreConformance("vfs", (root) => openLayerStore({ root, driver: "vfs" }), {
	driver: "vfs",
	flatten: "auto",
});
layerStoreConformance(
	"a driver of another form",
	(root) => openLayerStore({ root, driver: "overlay", replaceDriver: boxedDriver }),
	{ driver: "overlay", flatten: "never", flattens: false },
);
