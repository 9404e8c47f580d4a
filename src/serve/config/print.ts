/** What `lamella serve --print-config` prints: configuration of others that goes with ours, ready to be saved. */
import { DEFAULT_CONTAINERD_SOCKET } from "../containerd/index.ts";
import { DEFAULT_DOCKER_SOCKET } from "../docker/index.ts";

export const PRINTABLE_CONFIGS = ["containerd", "docker", "systemd"] as const;
export type PrintableConfig = (typeof PRINTABLE_CONFIGS)[number];

/** `socket` is where the server listens, where it is not at the default place; `command` starts it: `serve docker`. */
export function printedConfig(
	what: PrintableConfig,
	{ socket, command }: { readonly socket?: string | undefined; readonly command: string },
): string {
	switch (what) {
		case "containerd":
			return containerdConfig(socket ?? DEFAULT_CONTAINERD_SOCKET);
		case "docker":
			return dockerConfig(socket ?? DEFAULT_DOCKER_SOCKET);
		case "systemd":
			return systemdUnit(command);
	}
}

function containerdConfig(socket: string): string {
	return `# For /etc/containerd/config.toml (containerd 1.6 and 1.7: version = 2; containerd 2: version = 3).
[proxy_plugins.lamella]
  type = "snapshot"
  address = "${socket}"

# containerd 2 only, for pods and containers in user namespaces:
#  capabilities = ["remap-ids"]

# Kubernetes, containerd 1.6 and 1.7:
#[plugins."io.containerd.grpc.v1.cri".containerd]
#  snapshotter = "lamella"
#  disable_snapshot_annotations = true

# Kubernetes, containerd 2:
#[plugins."io.containerd.cri.v1.images"]
#  snapshotter = "lamella"
`;
}

function dockerConfig(socket: string): string {
	const name = /\/run\/docker\/plugins\/([^/]+)\.sock$/.exec(socket)?.[1] ?? "lamella";
	const note =
		socket === `/run/docker/plugins/${name}.sock`
			? ""
			: `\nThe plugin's socket ${socket} is not where dockerd looks: write unix://${socket} into /etc/docker/plugins/${name}.spec`;
	const json = JSON.stringify({ experimental: true, "storage-driver": name }, undefined, 2);
	return `${json}${note}\n`;
}

function systemdUnit(command: string): string {
	return `[Unit]
Description=Lamella layer store
Before=containerd.service docker.service
After=local-fs.target

[Service]
Type=exec
ExecStart=/usr/bin/lamella ${command}
# What is under way is finished; what is not after that is swept at the next start.
TimeoutStopSec=60
Restart=always
RestartSec=1
# Mounts of dockerd's layers are made here and have to be seen by dockerd: no mount namespace of its own.
PrivateMounts=no
OOMScoreAdjust=-999
LimitNOFILE=infinity
TasksMax=infinity

[Install]
WantedBy=multi-user.target
`;
}
