export { isSelinuxActive, mountLabelOption } from "./mount-label.ts";
