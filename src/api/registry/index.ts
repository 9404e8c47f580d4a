export { type ManifestOptions, openRegistry, Registry, type RegistryOptions } from "./registry.ts";
