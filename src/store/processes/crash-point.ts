/**
 * Every step of a state change has a name, so that a test can kill the process right there:
 * `LAMELLA_CRASH_POINT=commit:recorded` ends it with SIGKILL at that step, `commit:recorded#3` at the third time.
 * Without the variable `crashPoint` does nothing.
 */

/** All steps, for tests that visit each. What a step is called says what has been done. */
export const CRASH_POINTS = [
	"create:staged",
	"create:renamed",
	"create:recorded",
	"import:staged",
	"import:applied",
	"import:flattened",
	"import:synced",
	"import:renamed",
	"import:recorded",
	"commit:flattened",
	"commit:recorded",
	"snapshot:staged",
	"snapshot:renamed",
	"snapshot:recorded",
	"fold:staged",
	"fold:renamed",
	"fold:recorded",
	"fork:staged",
	"fork:renamed",
	"fork:recorded",
	"squash:merged",
	"squash:renamed",
	"squash:recorded",
	"turn:staged",
	"turn:renamed",
	"turn:noted",
	"turn:frozen",
	"turn:recorded",
	"turn:swapped",
	"remove:recorded",
	"remove:renamed",
	"remove:deleted",
	"flatten:staged",
	"flatten:renamed",
	"flatten:recorded",
	"mount:mounted",
	"mount:counted",
	"unmount:unmounted",
	"unmount:counted",
	"repair:sealed",
	"repair:forgotten",
	"repair:moved",
	"repair:placed",
	"update:staged",
	"update:recorded",
] as const;

export type CrashPoint = (typeof CRASH_POINTS)[number];

export const crashPoint: (name: CrashPoint) => void = armed(process.env.LAMELLA_CRASH_POINT);

function armed(wanted: string | undefined): (name: CrashPoint) => void {
	if (wanted === undefined || wanted === "") return () => undefined;
	const [point, count] = wanted.split("#");
	let left = count === undefined ? 1 : Number(count);
	return (name) => {
		if (name !== point) return;
		left -= 1;
		if (left > 0) return;
		process.kill(process.pid, "SIGKILL");
		// The signal may take a moment; nothing more may happen until then.
		Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
	};
}
