//go:build bench

package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

// A silod that was built for the benchmark takes a CPU profile into the file that
// SILOD_CPUPROFILE names: SIGUSR1 begins it, another one ends it.
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

// profile runs from one signal to the next.
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
