/**
 * The kinds of damage that a check knows: what each means for a user, and what a repair does about it. docs/reliability.md
 * has the same table, and a test holds the two together.
 */

interface KindText {
	/** What it means for the store's user. */
	readonly meaning: string;
	/** What a repair does, or, where it can do nothing, what a person has to do. */
	readonly remedy: string;
	readonly canRepair: boolean;
}

export type FindingKind =
	| "record-damaged"
	| "record-lost"
	| "record-outdated"
	| "depth-wrong"
	| "parent-missing"
	| "data-missing"
	| "writable-lost"
	| "directory-unknown"
	| "layer-set-aside"
	| "leftover"
	| "sidecar-missing"
	| "sidecar-damaged"
	| "sidecar-differs"
	| "record-file-missing"
	| "record-file-differs"
	| "record-unknown"
	| "document-missing"
	| "document-damaged"
	| "image-damaged"
	| "image-name-wrong"
	| "content-missing"
	| "content-damaged"
	| "content-rewritten"
	| "marks-misread"
	| "derived-missing"
	| "derived-damaged"
	| "derived-left"
	| "mount-unknown"
	| "hold-without-mount"
	| "usage-wrong";

const IMPORT_AGAIN = "Import or pull its image again, which puts the layer's data back, or remove it.";

export const FINDING_KINDS: Readonly<Record<FindingKind, KindText>> = {
	"record-damaged": {
		meaning: "The layer cannot be used, and lists of layers fail.",
		remedy: "The record is taken from the layer's layer.json.",
		canRepair: true,
	},
	"record-lost": {
		meaning: "Neither the database nor a layer.json says what the layer is, and lists of layers fail.",
		remedy:
			"Its directory is moved to lost+found/, and the record is removed. Import or pull its image again.",
		canRepair: true,
	},
	"record-outdated": {
		meaning: "An older database was put back: the store has forgotten what was done since.",
		remedy: "The record is taken from the layer's layer.json, which is newer.",
		canRepair: true,
	},
	"depth-wrong": {
		meaning: "The chain of the layer may be read short.",
		remedy: "The layers below are counted again, and the count is recorded.",
		canRepair: true,
	},
	"parent-missing": {
		meaning: "The layer cannot be mounted.",
		remedy: "Import or pull the image of the layer below again, or remove the layer.",
		canRepair: false,
	},
	"data-missing": {
		meaning: "The layer cannot be mounted, nor can those over it.",
		remedy: IMPORT_AGAIN,
		canRepair: false,
	},
	"writable-lost": {
		meaning: "What was written to the layer is gone: nothing is left of it but its name.",
		remedy: "The name is removed. Make the layer again.",
		canRepair: true,
	},
	"directory-unknown": {
		meaning: "It takes room, and the store does not use it.",
		remedy: "A committed layer that is whole is recorded again; everything else is moved to lost+found/.",
		canRepair: true,
	},
	"layer-set-aside": {
		meaning: "A committed layer that is whole is in lost+found/, and the store does not have it.",
		remedy: "It is moved back and recorded. Delete it from lost+found/ if nobody wants it.",
		canRepair: true,
	},
	leftover: {
		meaning: "It takes room: a process was ended before it could delete it.",
		remedy: "It is deleted.",
		canRepair: true,
	},
	"sidecar-missing": {
		meaning: "The layer would be lost if the database were.",
		remedy: "layer.json is written from the database.",
		canRepair: true,
	},
	"sidecar-damaged": {
		meaning: "The layer would be lost if the database were.",
		remedy: "layer.json is written from the database.",
		canRepair: true,
	},
	"sidecar-differs": {
		meaning: "The layer would come back as something else if the database were lost.",
		remedy: "layer.json is written from the database.",
		canRepair: true,
	},
	"record-file-missing": {
		meaning: "The image would be lost if the database were.",
		remedy: "The file is written from the database.",
		canRepair: true,
	},
	"record-file-differs": {
		meaning: "The image would come back as something else if the database were lost.",
		remedy: "The file is written from the database; the other one is kept in lost+found/.",
		canRepair: true,
	},
	"record-unknown": {
		meaning:
			"An image that is whole on disk is not in the database, as after an older database was put back.",
		remedy: "It is recorded again.",
		canRepair: true,
	},
	"document-missing": {
		meaning: "The image cannot be inspected, exported or pushed.",
		remedy: "Import or pull the image again, or remove it by its id.",
		canRepair: false,
	},
	"document-damaged": {
		meaning: "The image cannot be inspected, exported or pushed.",
		remedy: "Import or pull the image again, or remove it by its id.",
		canRepair: false,
	},
	"image-damaged": {
		meaning: "The image cannot be used.",
		remedy: "Import or pull it again, or remove it by its id.",
		canRepair: false,
	},
	"image-name-wrong": {
		meaning: "The name does not lead to the image that has it.",
		remedy: "The names that the image's record has are recorded again.",
		canRepair: true,
	},
	"content-missing": {
		meaning: "The layer cannot be mounted, nor can those over it.",
		remedy: IMPORT_AGAIN,
		canRepair: false,
	},
	"content-damaged": {
		meaning: "Files of the layer have wrong bytes, or none.",
		remedy: IMPORT_AGAIN,
		canRepair: false,
	},
	"content-rewritten": {
		meaning: "Somebody wrote to a file of a committed layer: every layer and container over it sees that.",
		remedy: IMPORT_AGAIN,
		canRepair: false,
	},
	"marks-misread": {
		meaning: "overlayfs shows another tree than the layer has.",
		remedy: "Commit the layer again from a mount that does not write such marks, or remove it.",
		canRepair: false,
	},
	"derived-missing": {
		meaning: "What a mount of the layer stands on is gone; it can be made from the layers again.",
		remedy: "The record says that it is not there, and it is made again when it is wanted.",
		canRepair: true,
	},
	"derived-damaged": {
		meaning: "A mount of the layer may show another tree than the layers have.",
		remedy: "It is deleted, and made again from the layers when it is wanted.",
		canRepair: true,
	},
	"derived-left": {
		meaning: "It takes room, and nothing uses it.",
		remedy: "It is deleted.",
		canRepair: true,
	},
	"mount-unknown": {
		meaning: "Something is mounted that no layer's record accounts for.",
		remedy: "It is unmounted, unless somebody uses it.",
		canRepair: true,
	},
	"hold-without-mount": {
		meaning: "The layer counts as mounted, so it is not removed or committed.",
		remedy: "The count is taken away.",
		canRepair: true,
	},
	"usage-wrong": {
		meaning: "Sizes that are shown are wrong.",
		remedy: "The layer is counted again.",
		canRepair: true,
	},
};
