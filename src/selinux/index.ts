export {
	formatMountLabel,
	isSelinuxActive,
	mountLabelOption,
	splitMountOptions,
} from "./mount-label.ts";
