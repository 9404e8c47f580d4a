// Makes the Debian test image where it is missing and prints the path of its docker archive.
import { debianImage } from "../test/support/debian-image.ts";

const image = await debianImage(process.argv[2] === "full" ? "full" : "small");
console.log(image.dockerArchive);
