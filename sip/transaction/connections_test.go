package transaction

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"silod/sip/internal/siptest"

	"silod/sip"
)

// The connections of TestManyConnections: most are idle after a message, others never send a complete
// one.
const (
	numTCP, numWS       = 5000, 4000
	numSlow             = 1000
	numAll              = numTCP + numWS + numSlow
	numExcess           = 100
	clientsEnv          = "SILOD_TEST_CLIENTS" // set in the process that runs the clients
	maxConnMemory int64 = 30_000               // maximum for one connection, of heap and stacks
)

// TestManyConnections opens as many connections as MaxConnections allows, and more. It checks their
// memory, that more clients are served in the place of those without a message, that the others
// of these are closed, and that all memory is freed.
func TestManyConnections(t *testing.T) {
	if at := os.Getenv(clientsEnv); at != "" {
		runClients(t, at)
		return
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); testing.Short() || err != nil || files.Cur < numAll+1000 {
		t.Skip("needs time, and a file descriptor for each connection")
	}
	s, addrs := runAllTransports(t, config{MaxConnections: numAll, StartTimeout: 20 * time.Second}, echo)
	before := memoryInUse()
	clients := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestManyConnections$")
	clients.Env = append(os.Environ(), clientsEnv+"="+addrs[sip.TCP].String()+" "+addrs[sip.WS].String())
	clients.Stderr = os.Stderr
	in, _ := clients.StdinPipe()
	out, _ := clients.StdoutPipe()
	if err := clients.Start(); err != nil {
		t.Fatal(err)
	}
	output := bufio.NewReader(out)
	expect := func(want string) {
		if line, err := output.ReadString('\n'); line != want {
			rest, _ := io.ReadAll(output)
			t.Fatalf("%d connections, output of the clients: %q, %v", s.sockets.Open(), line+string(rest), err)
		}
	}
	expect("connected\n")
	await(t, "all connections are accepted", func() bool { return s.sockets.Open() == numAll })
	_, _ = io.WriteString(in, "more\n")
	expect("ready\n")
	if n := s.sockets.Open(); n != numAll {
		t.Errorf("%d connections", n)
	}
	if n := s.sockets.Stats.DisplacedConns.Value(); n != numExcess {
		t.Errorf("%d connections made room", n)
	}
	per := (memoryInUse() - before) / numAll
	t.Logf("%d bytes a connection", per)
	if per > maxConnMemory {
		t.Errorf("%d bytes a connection", per)
	}
	c := dial(t, "udp", addrs[sip.UDP])
	send(t, c, message(c, "z9hG4bK1"))
	if r := receive(t, c, timeout); status(r) != "200" {
		t.Errorf("a client over UDP got %q", r)
	}
	await(t, "connections without a message are closed", func() bool { return s.sockets.Open() == numTCP+numWS+numExcess })
	_ = in.Close()
	if err := clients.Wait(); err != nil {
		t.Error(err)
	}
	await(t, "all connections are closed", func() bool { return s.sockets.Open() == 0 && s.sockets.Connections() == 0 })
	if left := memoryInUse() - before; left > 16<<20 {
		t.Errorf("%d bytes are not freed", left)
	}
}

// memoryInUse returns the bytes in use, of heap and stacks.
func memoryInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// runClients is the process of the clients. It opens connections, reports that, and ends
// when its standard input is closed.
func runClients(t *testing.T, at string) {
	tcp, ws, _ := strings.Cut(at, " ")
	repeat := func(n int, f func(i int) error) {
		var all sync.WaitGroup
		for w := range 8 {
			all.Go(func() {
				for i := w; i < n; i += 8 {
					if err := f(i); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
	}
	var mu sync.Mutex
	var conns []net.Conn // or the garbage collector would close them
	connect := func(addr string) (net.Conn, error) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			err = c.SetDeadline(time.Now().Add(time.Minute))
		}
		return c, err
	}
	repeat(numTCP, func(i int) error {
		c, err := connect(tcp)
		if err != nil {
			return err
		}
		return exchange(c, []byte(message(c, fmt.Sprint("z9hG4bKt", i))), "SIP/2.0 200 ")
	})
	repeat(numWS, func(i int) error {
		c, err := connect(ws)
		if err != nil {
			return err
		}
		if err := exchange(c, []byte(wsUpgrade), fmt.Sprint("HTTP/1.1 ", http.StatusSwitchingProtocols)); err != nil {
			return err
		}
		return exchange(c, siptest.Frame(0x81, []byte(message(c, fmt.Sprint("z9hG4bKw", i)))), "SIP/2.0 200 ")
	})
	repeat(numSlow, func(i int) error {
		c, err := connect([]string{tcp, ws}[i%2])
		if err == nil && i%4 > 1 {
			_, err = io.WriteString(c, "GET ") // the start of a request in both protocols
		}
		return err
	})
	input := bufio.NewReader(os.Stdin)
	if !t.Failed() {
		fmt.Println("connected")
		_, _ = input.ReadString('\n')
	}
	repeat(numExcess, func(i int) error {
		c, err := connect(tcp)
		if err != nil {
			return err
		}
		return exchange(c, []byte(message(c, fmt.Sprint("z9hG4bKx", i))), "SIP/2.0 200 ")
	})
	if !t.Failed() {
		fmt.Println("ready")
	}
	_, _ = io.Copy(io.Discard, input)
	runtime.KeepAlive(conns)
}
