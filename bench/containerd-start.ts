/**
 * What a person waits for: `ctr run --rm` of a container that ends at once, over an image of some layers, with lamella and with
 * containerd's built-in overlayfs, on one loop ext4 with a journal. Wall time of the whole command.
 *
 *   node --import ./scripts/ts.mjs bench/containerd-start.ts [--rounds N] [--layers N]
 */
import path from "node:path";
import { parseArgs } from "node:util";
import { makeFilesystem } from "../test/support/filesystems.ts";
import { LamellaSnapshotter, startContainerd } from "../test/support/lamella-snapshotter.ts";
import { makeLayeredImage } from "../test/support/layered-image.ts";
import { alternate, report } from "./alternate.ts";

const { values } = parseArgs({
	options: { rounds: { type: "string", default: "30" }, layers: { type: "string", default: "10" } },
});
const IMAGE = "docker.io/library/start:1";

using filesystem = makeFilesystem("ext4", 8 * 2 ** 30);
const at = (name: string): string => path.join(filesystem.path, name);
makeLayeredImage(at("image.tar"), { layers: Number(values.layers), name: IMAGE });
await using lamella = await LamellaSnapshotter.start(at("lamella"), ["--log-level", "warn"]);
await using containerd = await startContainerd(at("containerd"), lamella);

let count = 0;
const contestants = [];
for (const snapshotter of ["overlayfs", "lamella"]) {
	await containerd.ctr("images", "import", "--snapshotter", snapshotter, at("image.tar"));
	const measure = async (): Promise<void> => {
		const id = `start-${count++}`;
		await containerd.ctr("run", "--rm", "--snapshotter", snapshotter, IMAGE, id, "/bin/true");
	};
	// The first start reads runc, the shim and the image from the disk.
	await measure();
	contestants.push({ name: snapshotter, measure });
}
const scores = await alternate(contestants, Number(values.rounds));
console.log(report(`ctr run --rm over ${values.layers} layers`, scores));
