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

// Command is a program to be run.
type Command struct {
	Args []string
	Env  []string // added to ours
	CPUs []int    // that it may run on; none: all
	Log  string   // file for its output
	UID  int      // to run as; 0: as we do
}

// Process is a running program, which does not outlive this one.
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
	// It ends by Stop, in its own good order, and not with a context.
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
		// The death signal comes when the thread ends that started the program.
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // how it ended is in its log
		}
		log.Close()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Args[0], err)
	}
	return p, nil
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal to the process alone.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Err says how the process ended, with the end of its log; nil while it runs.
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

// stopPatience is how long a process may take to end when it is asked to.
const stopPatience = 20 * time.Second

// Stop asks the process to end by a signal, and ends its whole group if it does not.
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

// List writes processor numbers as taskset(1) reads them.
func List(cpus []int) string {
	var text []string
	for _, n := range cpus {
		text = append(text, strconv.Itoa(n))
	}
	return strings.Join(text, ",")
}

// Allowed are the processors that this process may use.
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

// Pin keeps this process to some processors. Programs that it starts from now on are
// kept there too, unless their Command says otherwise.
func Pin(cpus []int) error {
	var set unix.CPUSet
	for _, n := range cpus {
		set.Set(n)
	}
	// Threads are made by threads and take their processors from them, so after a
	// second look none is left out.
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
