//go:build bench

package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

// With the build tag bench, SIGUSR1 starts a CPU profile and the next SIGUSR1 ends it. The
// environment variable SILOD_CPUPROFILE is the name of its file.
func init() {
	path := os.Getenv("SILOD_CPUPROFILE")
	if path == "" {
		return
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	go func() {
		for range signals {
			if err := profile(path, signals); err != nil {
				fmt.Fprintln(os.Stderr, "silod: profile:", err)
			}
		}
	}()
}

// profile takes a profile until the next signal.
func profile(path string, until <-chan os.Signal) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	<-until
	pprof.StopCPUProfile()
	return f.Close()
}
