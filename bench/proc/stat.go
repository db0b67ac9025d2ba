// Package proc runs programs and reads their CPU time and memory from Linux's /proc, each
// summed over a process and all its descendants.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// A Stat is a part of /proc/PID/stat (proc(5)).
type Stat struct {
	PID, Parent int
	Name        string
	CPU         time.Duration // user and system
	Reaped      time.Duration // CPU of children that have ended and were waited for
}

// clockTick is the unit of CPU times in /proc: USER_HZ, 100 a second on every
// architecture that Go runs Linux on.
const clockTick = time.Second / 100

// ParseStat parses the line of /proc/PID/stat. The name in it is in parentheses and may
// contain spaces and parentheses.
func ParseStat(line []byte) (Stat, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 1 || end < open {
		return Stat{}, errors.New("stat without a name in parentheses")
	}
	s := Stat{Name: string(line[open+1 : end])}
	var err error
	if s.PID, err = strconv.Atoi(string(bytes.TrimSpace(line[:open]))); err != nil {
		return Stat{}, fmt.Errorf("stat: process id: %w", err)
	}
	rest := bytes.Fields(line[end+1:])
	if len(rest) < 15 {
		return Stat{}, fmt.Errorf("stat has %d fields after the name, want 15 or more", len(rest))
	}
	// Fields are numbered from 1 in proc(5); the first after the name is 3.
	field := func(n int) int64 {
		v, ferr := strconv.ParseInt(string(rest[n-3]), 10, 64)
		if ferr != nil && err == nil {
			err = fmt.Errorf("stat: field %d: %w", n, ferr)
		}
		return v
	}
	s.Parent = int(field(4))
	s.CPU = time.Duration(field(14)+field(15)) * clockTick
	s.Reaped = time.Duration(field(16)+field(17)) * clockTick
	return s, err
}

// Tree returns the running processes among roots and all their descendants.
func Tree(roots ...int) ([]Stat, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]Stat)
	var tree []Stat
	for _, f := range files {
		line, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		s, err := ParseStat(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		children[s.Parent] = append(children[s.Parent], s)
		for _, r := range roots {
			if s.PID == r {
				tree = append(tree, s)
			}
		}
	}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i].PID]...)
	}
	return tree, nil
}

// CPU returns the CPU time of trees of processes, with descendants that have ended.
func CPU(roots ...int) (time.Duration, error) {
	if len(roots) == 0 {
		return 0, nil
	}
	tree, err := Tree(roots...)
	var sum time.Duration
	for _, s := range tree {
		sum += s.CPU + s.Reaped
	}
	return sum, err
}

// Memory returns the memory of trees of processes in bytes. Shared memory is counted once
// (the proportional set size of proc(5)).
func Memory(roots ...int) (int64, error) {
	tree, err := Tree(roots...)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, s := range tree {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", s.PID))
		if err != nil {
			continue // it has ended
		}
		n, err := parsePSS(data)
		if err != nil {
			return 0, fmt.Errorf("memory of process %d: %w", s.PID, err)
		}
		sum += n
	}
	return sum, nil
}

// parsePSS returns the bytes of the line "Pss:  123 kB".
func parsePSS(rollup []byte) (int64, error) {
	for line := range bytes.Lines(rollup) {
		v, ok := bytes.CutPrefix(line, []byte("Pss:"))
		if !ok {
			continue
		}
		v, ok = bytes.CutSuffix(bytes.TrimSpace(v), []byte(" kB"))
		if !ok {
			break
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(v)), 10, 64)
		return n << 10, err
	}
	return 0, errors.New("no line \"Pss: N kB\"")
}

// Busy returns the time that all processors of the machine were busy with any work or
// stolen by the hypervisor.
func Busy() (time.Duration, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return parseBusy(data)
}

// parseBusy sums the first line of /proc/stat without idle and iowait. Guest time is not
// added, because it is part of user time.
func parseBusy(data []byte) (time.Duration, error) {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	f := bytes.Fields(line)
	if len(f) < 9 || string(f[0]) != "cpu" {
		return 0, errors.New("/proc/stat does not begin with the times of all processors")
	}
	var sum int64
	for i, v := range f[1:9] {
		n, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if i != 3 && i != 4 {
			sum += n
		}
	}
	return time.Duration(sum) * clockTick, nil
}
