/** ID maps between a container's and the host's numbers, as in user_namespaces(7). */

export interface IdMapRange {
	readonly containerId: number;
	readonly hostId: number;
	readonly size: number;
}

export interface IdMaps {
	readonly uids: readonly IdMapRange[];
	readonly gids: readonly IdMapRange[];
}
