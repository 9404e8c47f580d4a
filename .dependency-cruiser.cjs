// Who may import whom, as docs/architecture.md draws it: downwards only.
const order = [
	"cli",
	"serve",
	"api",
	"graphdriver",
	"image",
	"registry",
	"store",
	"driver",
	"layer",
	"erofs",
	"compression",
	"jobs",
	"run",
	"selinux",
	"idmap",
	"tar",
	"linux",
	"errors",
];
// These import nothing of the others but errors; some of them linux, too.
const leaves = ["linux", "tar", "erofs", "idmap", "selinux", "jobs", "compression", "run", "registry"];
const withLinux = ["jobs", "compression", "run", "registry"];

const forbidden = [
	{
		name: "no-circular",
		severity: "error",
		from: { path: "^src/" },
		to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
	},
	{
		name: "rooms-by-their-index",
		comment: "Another room is entered through its index.ts (a worker's entry module excepted).",
		severity: "error",
		from: { path: "^src/([^/]+)/", pathNot: "\\.test\\.ts$" },
		to: { path: "^src/[^/]+/", pathNot: ["^src/$1/", "/index\\.ts$"] },
	},
];
order.forEach((room, i) => {
	const above = order.slice(0, i);
	if (above.length > 0) {
		forbidden.push({
			name: `downwards-only-${room}`,
			severity: "error",
			from: { path: `^src/${room}/`, pathNot: "\\.test\\.ts$" },
			to: { path: `^src/(${above.join("|")})/` },
		});
	}
	if (leaves.includes(room)) {
		forbidden.push({
			name: `leaf-${room}`,
			severity: "error",
			from: { path: `^src/${room}/`, pathNot: "\\.test\\.ts$" },
			to: {
				path: "^src/",
				pathNot: withLinux.includes(room) ? `^src/(${room}|errors|linux)/` : `^src/(${room}|errors)/`,
			},
		});
	}
});

module.exports = {
	forbidden,
	options: {
		tsConfig: { fileName: "tsconfig.json" },
		tsPreCompilationDeps: true,
		doNotFollow: { path: "node_modules" },
		includeOnly: "^src/",
	},
};
