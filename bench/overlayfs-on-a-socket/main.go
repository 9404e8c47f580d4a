// containerd's own overlayfs snapshotter, served on a socket by containerd's own library: what it costs that a snapshotter
// is a process of its own. For bench/containerd-latency.ts --peer.
//
//	apt-get install golang-go golang-google-grpc-dev golang-github-containerd-containerd-dev
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o /tmp/overlayfs-on-a-socket bench/overlayfs-on-a-socket/main.go
package main

import (
	"log"
	"net"
	"os"

	snapshots "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/contrib/snapshotservice"
	"github.com/containerd/containerd/snapshots/overlay"
	"google.golang.org/grpc"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: overlayfs-on-a-socket DIRECTORY SOCKET")
	}
	snapshotter, err := overlay.NewSnapshotter(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("unix", os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	snapshots.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(snapshotter))
	log.Fatal(server.Serve(listener))
}
