package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"silod/bench/proc"
)

// A machine describes the environment of the measurements.
type machine struct {
	Processor  string
	Processors int
	Memory     int64 // bytes
	Kernel     string
	Go         string
	Silod      string
	Kamailio   string
	PostgreSQL string
	Pinning    string
	Sync       time.Duration // median time of an fsync where the databases are
}

func (m *machine) String() string {
	return fmt.Sprintf("%d x %s, Linux %s; %s; fsync takes %v\n%s, %s, %s, %s",
		m.Processors, m.Processor, m.Kernel, m.Pinning, m.Sync, m.Silod, m.Kamailio, m.PostgreSQL, m.Go)
}

func describe(ctx context.Context, r *rig) (*machine, error) {
	m := &machine{Processors: runtime.NumCPU(), Go: runtime.Version(), Processor: "unknown processor"}
	if len(r.subs) == 0 {
		m.Pinning = "load generator and systems share all processors"
	} else {
		m.Processors = len(r.mine) + len(r.subs)
		m.Pinning = "load on processor " + proc.List(r.mine) + ", systems on " + proc.List(r.subs)
	}
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range bytes.Lines(info) {
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && string(bytes.TrimSpace(name)) == "model name" {
			m.Processor = string(bytes.TrimSpace(value))
			break
		}
	}
	var sys unix.Sysinfo_t
	if err := unix.Sysinfo(&sys); err == nil {
		m.Memory = int64(sys.Totalram) * int64(sys.Unit)
	}
	m.Kernel = firstLine(ctx, "uname", "-r")
	m.Silod = "silod " + firstLine(ctx, "git", "-C", r.root, "describe", "--tags", "--always", "--dirty")
	m.Kamailio = strings.TrimPrefix(firstLine(ctx, "kamailio", "-v"), "version: ")
	if path, err := program("postgres"); err == nil {
		m.PostgreSQL = firstLine(ctx, path, "--version")
	}
	var err error
	m.Sync, err = syncTime(r.dir)
	return m, err
}

// firstLine returns the first line of the output of a command.
func firstLine(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return name + " unknown"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

// syncTime returns the median time of an fsync in dir, which every commit needs. It is an
// error if dir is in memory, where an fsync takes no time.
func syncTime(dir string) (time.Duration, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	if fs.Type == unix.TMPFS_MAGIC {
		return 0, fmt.Errorf("%s is in memory: set a directory on a disk with -data", dir)
	}
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, err
	}
	defer f.Close() // it is removed with its directory
	const rounds = 101
	times := make([]time.Duration, rounds)
	block := make([]byte, 4096)
	for i := range times {
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		began := time.Now()
		if err := f.Sync(); err != nil {
			return 0, err
		}
		times[i] = time.Since(began).Round(time.Microsecond)
	}
	slices.Sort(times)
	return times[rounds/2], nil
}
