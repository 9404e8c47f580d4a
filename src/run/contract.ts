/** What crosses between the caller of `runInRoot` and the thread that runs the command. */
import { type ErrorCode, LamellaError } from "../errors/index.ts";

export interface RunRequest {
	readonly root: string;
	readonly command: string;
	readonly args: readonly string[];
	readonly env: Readonly<Record<string, string>>;
	readonly cwd: string;
	readonly uid: number;
	readonly gid: number;
	readonly hostname: string;
	/** Whether the command gets a terminal of its own. */
	readonly terminal: boolean;
}

/** Descriptors are the process's, so either side can use them; the caller closes these. */
export type RunMessage =
	| {
			readonly type: "started";
			readonly pidfd: number;
			/** The outside of the command's terminal, where it has one. */
			readonly master: number | undefined;
	  }
	| { readonly type: "ended"; readonly exitCode: number }
	| {
			readonly type: "failed";
			readonly code: ErrorCode;
			readonly message: string;
			readonly exitCode?: CommandStartError["exitCode"];
	  };

/** The command cannot be started. */
export class CommandStartError extends LamellaError {
	/** As a shell says it: 127 where there is no such command, 126 where it cannot be executed. */
	readonly exitCode: 126 | 127;

	constructor(code: ErrorCode, message: string, exitCode: 126 | 127) {
		super(code, message);
		this.exitCode = exitCode;
	}
}
