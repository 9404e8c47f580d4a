/** What crosses between the caller of `runInRoot` and the thread that makes the namespaces. */

export interface RunRequest {
	readonly root: string;
	readonly command: string;
	readonly args: readonly string[];
	readonly env: Readonly<Record<string, string>>;
	readonly cwd: string;
	readonly uid: number;
	readonly gid: number;
	readonly hostname: string;
}

export type RunMessage =
	| { readonly type: "ended"; readonly exitCode: number }
	| {
			readonly type: "failed";
			readonly code: "ENOTFOUND" | "EPERMISSION" | "ESYSTEM";
			readonly message: string;
	  };

/** To the thread: a signal for the command. */
export interface SignalMessage {
	readonly signal: NodeJS.Signals;
}
