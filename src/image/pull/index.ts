/** The door for who asks what a registry has. It is entered when that is wanted: undici comes with it. */
export { openRegistryClient } from "../../registry/index.ts";
export { type RegistryImage, readRegistryImage } from "./registry-image.ts";
