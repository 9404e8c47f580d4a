/** A promise that somebody else opens. */
export interface Gate {
	readonly promise: Promise<void>;
	/** Again is harmless. */
	readonly open: () => void;
}

export function newGate(): Gate {
	let open: () => void = () => undefined;
	const promise = new Promise<void>((resolve) => {
		open = resolve;
	});
	return { promise, open };
}
