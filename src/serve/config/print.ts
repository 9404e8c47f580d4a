/** What `lamella serve --print-config` prints: configuration of others that goes with ours, ready to be saved. */
import { DEFAULT_CONTAINERD_SOCKET } from "../containerd/index.ts";
import { DEFAULT_DOCKER_SOCKET } from "../docker/index.ts";

export const PRINTABLE_CONFIGS = ["containerd", "docker", "systemd"] as const;
export type PrintableConfig = (typeof PRINTABLE_CONFIGS)[number];

export interface PrintRequest {
	/** Where the server listens, where it is not at the default place. */
	readonly socket?: string | undefined;
	/** What starts it: `serve docker`. */
	readonly command: string;
	/** The one that is served alone. */
	readonly protocol?: "containerd" | "docker" | undefined;
}

export function printedConfig(what: PrintableConfig, { socket, command, protocol }: PrintRequest): string {
	switch (what) {
		case "containerd":
			return containerdConfig(socket ?? DEFAULT_CONTAINERD_SOCKET);
		case "docker":
			return dockerConfig(socket ?? DEFAULT_DOCKER_SOCKET);
		case "systemd":
			return systemdUnit(command, protocol);
	}
}

/** What has to be done beside saving the configuration, for people; `undefined` where nothing has to. */
export function printedNote(what: PrintableConfig, { socket }: PrintRequest): string | undefined {
	if (what !== "docker" || socket === undefined) return undefined;
	const name = pluginName(socket);
	if (socket === `/run/docker/plugins/${name}.sock`) return undefined;
	return `dockerd does not look for a plugin at ${socket}: write unix://${socket} to /etc/docker/plugins/${name}.spec`;
}

/**
 * A whole file in version 2 of containerd's configuration, which 1.6, 1.7 and 2.x read. What is commented out is for
 * Kubernetes and for version 3.
 */
function containerdConfig(socket: string): string {
	return `# For /etc/containerd/config.toml, or a file that its "imports" name. containerd 1.6, 1.7 and 2.x read version 2;
# in a file of version 3 (containerd 2.x) leave this line out.
version = 2

[proxy_plugins.lamella]
  type = "snapshot"
  address = "${socket}"
# containerd 2.x, for pods and containers in user namespaces; not with id-maps = "refuse" in lamella's configuration:
#  capabilities = ["remap-ids"]

# Kubernetes, in a file of version 2:
#[plugins."io.containerd.grpc.v1.cri".containerd]
#  snapshotter = "lamella"

# Kubernetes, in a file of version 3:
#[plugins."io.containerd.cri.v1.images"]
#  snapshotter = "lamella"
`;
}

function dockerConfig(socket: string): string {
	return `${JSON.stringify({ experimental: true, "storage-driver": pluginName(socket) }, undefined, 2)}\n`;
}

/** dockerd takes a plugin's name from its socket's. */
function pluginName(socket: string): string {
	return /\/run\/docker\/plugins\/([^/]+)\.sock$/.exec(socket)?.[1] ?? "lamella";
}

function systemdUnit(command: string, protocol: PrintRequest["protocol"]): string {
	const clients = (["containerd", "docker"] as const)
		.filter((client) => protocol === undefined || protocol === client)
		.map((client) => `${client}.service`)
		.join(" ");
	return `[Unit]
Description=Lamella layer store
Before=${clients}
After=local-fs.target

[Service]
Type=exec
# In /usr/local/bin or /usr/bin, wherever npm has put it (systemd looks in both).
ExecStart=lamella ${command}
# Under a thousand calls at once Node would take half as much memory again for new objects, and be no faster.
Environment=NODE_OPTIONS=--max-semi-space-size=16
# Running calls are finished first. If one is cut off all the same, the next start sweeps what it left. Mounts stay where they are,
# and containers go on.
KillMode=mixed
TimeoutStopSec=15min
Restart=always
RestartSec=1s
# Mounts that are made here have to be seen by others: no option that gives a mount namespace of its own may be added
# (ProtectSystem=, PrivateTmp=, ProtectHome=, ReadWritePaths=, ...).
PrivateMounts=no
UMask=0022
OOMScoreAdjust=-999
LimitNOFILE=infinity
TasksMax=infinity

[Install]
# Wanted, not required: systemd would restart those, and end their containers, whenever this restarts.
WantedBy=multi-user.target ${clients}
`;
}
