package transaction

import (
	"bufio"
	"encoding/binary"
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

	"silod/sip"
)

// The crowd: connections that have sent a message and are idle, and some that never
// send a whole one.
const (
	crowdTCP, crowdWS       = 5000, 4000
	crowdSlow               = 1000
	crowd                   = crowdTCP + crowdWS + crowdSlow
	crowdBeyond             = 100
	crowdEnv                = "SILOD_TEST_CROWD" // set in the process that plays the clients
	crowdBytes        int64 = 30_000             // that one may take, of heap and stacks
)

// Ten thousand clients are connected, and one more is not. They take little memory
// and keep nobody from being served; those who have not sent a message in time are
// cut off; and when all are gone nothing is left.
func TestCrowd(t *testing.T) {
	if at := os.Getenv(crowdEnv); at != "" {
		playCrowd(t, at)
		return
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); testing.Short() || err != nil || files.Cur < crowd+1000 {
		t.Skip("needs time, and a file descriptor for each connection")
	}
	s, addrs := runningAll(t, Config{MaxConnections: crowd, StartTimeout: 20 * time.Second}, echo)
	before := footprint()
	clients := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrowd$")
	clients.Env = append(os.Environ(), crowdEnv+"="+addrs[sip.TCP].String()+" "+addrs[sip.WS].String())
	clients.Stderr = os.Stderr
	in, _ := clients.StdinPipe()
	out, _ := clients.StdoutPipe()
	if err := clients.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(out)
	expect := func(want string) {
		if line, err := said.ReadString('\n'); line != want {
			rest, _ := io.ReadAll(said)
			t.Fatalf("%d are connected, and the clients said %q, %v", s.sockets.Open(), line+string(rest), err)
		}
	}
	expect("connected\n")
	await(t, "all are accepted", func() bool { return s.sockets.Open() == crowd })
	_, _ = io.WriteString(in, "more\n")
	expect("ready\n")
	if n := s.sockets.Open(); n != crowd {
		t.Errorf("%d are connected", n)
	}
	if n := s.sockets.Stats.RefusedConnects.Value(); n < crowdBeyond {
		t.Errorf("%d were refused", n)
	}
	per := (footprint() - before) / crowd
	t.Logf("%d bytes a connection", per)
	if per > crowdBytes {
		t.Errorf("%d bytes a connection", per)
	}
	c := dial(t, "udp", addrs[sip.UDP])
	send(t, c, message(c, "z9hG4bK1"))
	if r := hear(t, c, patience); status(r) != "200" {
		t.Errorf("another is answered %q", r)
	}
	await(t, "those who said nothing are cut off", func() bool { return s.sockets.Open() == crowdTCP+crowdWS })
	_ = in.Close()
	if err := clients.Wait(); err != nil {
		t.Error(err)
	}
	await(t, "all are gone", func() bool { return s.sockets.Open() == 0 && s.sockets.Connections() == 0 })
	if left := footprint() - before; left > 16<<20 {
		t.Errorf("%d bytes are kept for nobody", left)
	}
}

// footprint is what is in use, of heap and stacks.
func footprint() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what, ": waited in vain")
		}
	}
}

// playCrowd is the other process: it connects, says so, and stays until told to go.
func playCrowd(t *testing.T, at string) {
	tcp, ws, _ := strings.Cut(at, " ")
	open := func(n int, one func(i int) error) {
		var all sync.WaitGroup
		for w := range 8 {
			all.Go(func() {
				for i := w; i < n; i += 8 {
					if err := one(i); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
	}
	var mu sync.Mutex
	var keep []net.Conn // or the collector closes them
	connect := func(addr string) (net.Conn, error) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			mu.Lock()
			keep = append(keep, c)
			mu.Unlock()
			err = c.SetDeadline(time.Now().Add(time.Minute))
		}
		return c, err
	}
	open(crowdTCP, func(i int) error {
		c, err := connect(tcp)
		if err != nil {
			return err
		}
		return converse(c, []byte(message(c, fmt.Sprint("z9hG4bKt", i))), "SIP/2.0 200 ")
	})
	open(crowdWS, func(i int) error {
		c, err := connect(ws)
		if err != nil {
			return err
		}
		if err := converse(c, []byte(wsHello), fmt.Sprint("HTTP/1.1 ", http.StatusSwitchingProtocols)); err != nil {
			return err
		}
		return converse(c, wsFrame(0x81, []byte(message(c, fmt.Sprint("z9hG4bKw", i)))), "SIP/2.0 200 ")
	})
	open(crowdSlow, func(i int) error {
		c, err := connect([]string{tcp, ws}[i%2])
		if err == nil && i%4 > 1 {
			_, err = io.WriteString(c, "GET ") // of neither protocol more than this
		}
		return err
	})
	told := bufio.NewReader(os.Stdin)
	if !t.Failed() {
		fmt.Println("connected")
		_, _ = told.ReadString('\n')
	}
	open(crowdBeyond, func(int) error {
		c, err := connect(tcp)
		if err == nil {
			if n, _ := c.Read(make([]byte, 1)); n > 0 {
				err = fmt.Errorf("one too many was served")
			}
		}
		return err
	})
	if !t.Failed() {
		fmt.Println("ready")
	}
	_, _ = io.Copy(io.Discard, told)
	runtime.KeepAlive(keep)
}

const wsHello = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\r\n"

// converse sends, and hears what it wants to hear.
func converse(c net.Conn, text []byte, want string) error {
	if _, err := c.Write(text); err != nil {
		return err
	}
	buf := make([]byte, 2048)
	n, err := c.Read(buf)
	if err == nil && !strings.Contains(string(buf[:n]), want) {
		err = fmt.Errorf("heard %q", buf[:n])
	}
	return err
}

// wsFrame is a frame as clients send them: masked, with the key 1 2 3 4.
func wsFrame(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, 1, 2, 3, 4)
	for i, c := range payload {
		b = append(b, c^byte(i%4+1))
	}
	return b
}
