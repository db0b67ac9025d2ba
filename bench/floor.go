package main

import (
	"context"
	"path/filepath"
	"syscall"

	"silod/bench/proc"
)

func buildFloor(ctx context.Context, r *rig) error {
	if r.floor != "" {
		return nil
	}
	var err error
	r.floor, err = r.build(ctx, "./bench/floor", "bench")
	return err
}

// startFloor runs the minimum that a server in Go has to do: read a datagram, parse it
// with silod's parser, and send a response.
func startFloor(ctx context.Context, r *rig, _ string) (*running, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &running{addr: loopback(port), end: syscall.SIGTERM}
	return s.start(ctx, proc.Command{
		Args: []string{r.floor, s.addr.String()}, CPUs: r.subs, Log: filepath.Join(r.out, "floor.log"),
	})
}
