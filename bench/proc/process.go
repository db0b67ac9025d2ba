package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Command is a program with its environment.
type Command struct {
	Args []string
	Env  []string // added to that of this process
	CPUs []int    // on which it may run; none: all
	Log  string   // file for its output
	UID  int      // user ID; 0: that of this process
}

// A Process is a running program. It is killed when this process ends.
type Process struct {
	cmd    *exec.Cmd
	log    *os.File
	exited chan struct{}
}

// Start runs a program in a process group of its own.
func Start(c Command) (*Process, error) {
	args := c.Args
	if len(c.CPUs) > 0 {
		args = append([]string{"taskset", "-c", List(c.CPUs)}, args...)
	}
	log, err := os.Create(c.Log)
	if err != nil {
		return nil, err
	}
	// Stop ends it by a signal that it can handle; a context would kill it.
	cmd := exec.CommandContext(context.Background(), args[0], args[1:]...)
	p := &Process{cmd: cmd, log: log, exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), c.Env...)
	p.cmd.Dir = "/"
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if c.UID != 0 {
		p.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(c.UID), Gid: uint32(c.UID)}
	}
	started := make(chan error)
	go func() {
		// Pdeathsig is sent when the thread that started the program ends.
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // Err reports how it ended
		}
		log.Close()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Args[0], err)
	}
	return p, nil
}

// PID returns the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal to the process, not to its group.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Err returns an error that describes how the process ended, with the end of its log. It
// returns nil while the process runs.
func (p *Process) Err() error {
	select {
	case <-p.exited:
	default:
		return nil
	}
	const most = 2000
	text, _ := os.ReadFile(p.log.Name())
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return fmt.Errorf("%s ended: %s; the end of %s:\n%s", p.cmd.Path, p.cmd.ProcessState, p.log.Name(), text)
}

// stopPatience is the time after which Stop kills the process.
const stopPatience = 20 * time.Second

// Stop sends a signal and waits until the process ends. After stopPatience it kills the
// process group and returns an error.
func (p *Process) Stop(s syscall.Signal) error {
	_ = p.Signal(s) // it may have ended
	var err error
	select {
	case <-p.exited:
	case <-time.After(stopPatience):
		err = fmt.Errorf("%s did not end within %v and was killed", p.cmd.Path, stopPatience)
	}
	_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	<-p.exited
	return err
}

// List formats processor numbers for taskset(1).
func List(cpus []int) string {
	var text []string
	for _, n := range cpus {
		text = append(text, strconv.Itoa(n))
	}
	return strings.Join(text, ",")
}

// Allowed returns the numbers of the processors that this process may use.
func Allowed() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("sched_getaffinity: %w", err)
	}
	var cpus []int
	for n := 0; len(cpus) < set.Count(); n++ {
		if set.IsSet(n) {
			cpus = append(cpus, n)
		}
	}
	return cpus, nil
}

// Pin restricts this process to some processors. Programs that it starts inherit them
// unless their Command has CPUs.
func Pin(cpus []int) error {
	var set unix.CPUSet
	for _, n := range cpus {
		set.Set(n)
	}
	// New threads inherit the processors of the thread that creates them, so the second
	// round covers threads that were created during the first.
	for range 2 {
		tasks, err := filepath.Glob("/proc/self/task/[0-9]*")
		if err != nil {
			return err
		}
		for _, t := range tasks {
			tid, _ := strconv.Atoi(filepath.Base(t))
			if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("sched_setaffinity: %w", err)
			}
		}
	}
	runtime.GOMAXPROCS(len(cpus))
	return nil
}
