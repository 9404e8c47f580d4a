/** Entry for callers that only ask what a registry has. It loads undici: import it when it is needed. */
export { openRegistryClient } from "../../registry/index.ts";
export { type RegistryImage, readRegistryImage } from "./registry-image.ts";
