package fifo

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"silod/mi"
)

// TestFramings: requests of all framings over one FIFO.
func TestFramings(t *testing.T) {
	r := newRig(t, nil)
	dir, _ := os.Getwd()
	for request, want := range map[string]string{
		":pwd:%s\n\n": "200 OK\nWD:: " + dir + "\n\n",
		"{\"jsonrpc\": \"2.0\", \"method\": \"core.pwd\", \"reply_name\": \"%s\", \"id\": 5}\n": "{\n\t\"jsonrpc\":\t\"2.0\",\n\t\"result\":\t[\"" + dir + "\"],\n\t\"id\":\t5\n}",
		":%s:{\"jsonrpc\": \"2.0\", \"method\": \"pwd\", \"id\": \"5\"}":                        `{"jsonrpc":"2.0","result":{"WD":"` + dir + `"},"id":"5"}`,
		":nosuch:%s\nx\n\n": "500 command 'nosuch' not available\n\n",
		"::%s\n\n":          "400 no command between the colons\n\n",
		":echo:%s\n\"\n\n":  "400 parse error in command 'echo'\n\n",
	} {
		if got := r.ask(request); got != want {
			t.Errorf("%q: got %q, want %q", request, got, want)
		}
	}
}

// TestTorture: after each of these inputs, the next command is served.
func TestTorture(t *testing.T) {
	r := newRig(t, nil)
	for name, rubbish := range map[string]string{
		"one blank line":          "\n",
		"blank lines":             "\n\r\n \n",
		"no leading colon":        "pwd:x\n\n",
		"slash":                   "/pwd:x\n\n",
		"no second colon":         ":pwd\n\n",
		"two colons":              "::\n\n",
		"HTTP":                    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"binary rubbish":          "\x00\x01\xff\xfe\n\n",
		"long header":             ":" + strings.Repeat("x", 3000) + ":x\n\n",
		"too many arguments":      ":echo:x\n" + strings.Repeat("argument\n", 20000) + "\n",
		"one endless line":        strings.Repeat("x", 200000),
		"open quote":              ":echo:x\n\"abc\n\n",
		"empty quotes":            ":echo:x\n\"\"\n\n",
		"NUL in an argument":      ":echo:x\na\x00b\n\n",
		"no last line":            ":echo:x\na\n",
		"half a header":           ":ec",
		"bad JSON":                "{\"method\": , \"reply_name\": \"x\"}",
		"open JSON":               "{\"jsonrpc\": \"2.0\", \"method\": \"pwd\"\n",
		"open string":             "{\"jsonrpc\": \"2.0\n",
		"OpenSIPS, open":          ":x:{\"method\": \"pwd\"\n",
		"a batch":                 "[{\"method\": \"pwd\", \"reply_name\": \"x\"}]\n",
		"rubbish after JSON":      "{}}}]\n",
		"no reply name":           ":pwd:\n\n",
		"JSON without reply name": "{\"jsonrpc\": \"2.0\", \"method\": \"pwd\", \"id\": 1}",
		"reply name with a path":  ":pwd:../x\n\n",
		"reply name with a dot":   ":pwd:x.y\n\n",
		"long reply name":         ":pwd:" + strings.Repeat("x", 300) + "\n\n",
		"missing reply FIFO":      ":pwd:missing\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			r.t = t
			r.write(rubbish)
			r.write("\n")
			r.serves()
		})
	}
}

// TestPieces: a request may arrive in any pieces, and several in one write. Replies in one
// reply FIFO keep their order and are not mixed.
func TestPieces(t *testing.T) {
	r := newRig(t, nil)
	c := r.client("pieces")
	var bytewise []string
	for _, b := range []byte(":echo:pieces\na\nb\n\n") {
		bytewise = append(bytewise, string(b))
	}
	r.write(bytewise...)
	if got := c.reply(); got != "200 OK\na\nb\n\n" {
		t.Errorf("byte by byte: %q", got)
	}

	var request, want strings.Builder
	for i := range 20 {
		fmt.Fprintf(&request, ":echo:same\nn%d\n\n", i)
		fmt.Fprintf(&want, "200 OK\nn%d\n\n", i)
	}
	c = r.client("same")
	r.write(request.String())
	_ = c.in.SetReadDeadline(time.Now().Add(soon))
	got := make([]byte, want.Len())
	if _, err := io.ReadFull(c.in, got); err != nil || string(got) != want.String() {
		t.Errorf("for one reply FIFO: %q, %v", got, err)
	}
}

// TestUnfinished: a request without its last line is answered after a time, unless it
// changes something.
func TestUnfinished(t *testing.T) {
	r := newRig(t, nil)
	if got := r.ask(":echo:%s\na\n"); got != "200 OK\na\n\n" {
		t.Errorf("got %q", got)
	}
	if got := r.ask(":ul_rm:%s\nlocation\nbob\n"); got != "400 ul_rm was not run: the request does not end with an empty line\n\n" {
		t.Errorf("got %q", got)
	}
}

// TestManyClients: each of 200 clients gets its own reply.
func TestManyClients(t *testing.T) {
	r := newRig(t, nil)
	var wg sync.WaitGroup
	var wrong atomic.Int32
	for i := range 200 {
		wg.Go(func() {
			word := fmt.Sprintf("word-%d", i)
			var want string
			var got string
			if i%2 == 0 {
				got, want = r.ask(":echo:%s\n"+word+"\n\n"), "200 OK\n"+word+"\n\n"
			} else {
				got, want = r.ask(":%s:{\"method\":\"echo\",\"params\":[\""+word+"\"],\"id\":1}"), `{"jsonrpc":"2.0","result":["`+word+`"],"id":1}`
			}
			if got != want {
				wrong.Add(1)
				t.Errorf("%s: got %q", word, got)
			}
		})
	}
	wg.Wait()
	r.serves()
}

// TestNeverReads: a client that opens its reply FIFO and does not read it delays no other
// client, even with many requests. Nor does a client that never opens its reply FIFO.
func TestNeverReads(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Timeout, o.OpenTimeout = 300*time.Millisecond, 300*time.Millisecond })
	r.client("deaf")
	if err := syscall.Mkfifo(filepath.Join(r.ReplyDir, "unopened"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		r.write(":rows:deaf\n1000000\n\n:rows:unopened\n1\n\n")
	}
	start := time.Now()
	for range 20 {
		r.serves()
	}
	t.Logf("20 commands meanwhile took %v", time.Since(start))
	r.logged(`msg="management reply not delivered" command=rows reply=deaf`)
	r.logged(`msg="management request dropped: its client does not read" command=rows reply=deaf`)
	r.logged(`reply=unopened error="open the reply FIFO:`)
	r.serves()
}

// TestLateReader: kamctl starts its reader in the background.
func TestLateReader(t *testing.T) {
	r := newRig(t, func(o *Options) { o.OpenTimeout = soon })
	path := filepath.Join(r.ReplyDir, "late")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r.write(":echo:late\nx\n\n")
	time.Sleep(400 * time.Millisecond)
	b, err := os.ReadFile(path) // waits for the writer
	if err != nil || string(b) != "200 OK\nx\n\n" {
		t.Errorf("got %q, %v", b, err)
	}
}

// TestLongReply: a reply over a FIFO may have any length.
func TestLongReply(t *testing.T) {
	r := newRig(t, nil)
	const n = 200_000
	if got := strings.Count(r.ask(fmt.Sprintf(":rows:%%s\n%d\n\n", n)), "ROW:: "); got != n {
		t.Errorf("%d rows of %d", got, n)
	}
}

// TestReaderLeaves: a client that closes its reply FIFO early ends its list. This is not
// logged.
func TestReaderLeaves(t *testing.T) {
	r := newRig(t, nil)
	c := r.client("leaver")
	r.write(":rows:leaver\n100000000\n\n")
	_ = c.in.SetReadDeadline(time.Now().Add(soon))
	if _, err := io.ReadFull(c.in, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	_ = c.in.Close()
	r.serves()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if strings.Contains(r.log.String(), "leaver") {
		t.Errorf("the log has %s", r.log)
	}
}

// TestStops: replies in progress are finished when the server stops, within a time limit.
func TestStops(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Timeout = time.Hour })
	running := make(chan struct{})
	r.Registry.Add(mi.Command{Name: "slow", Run: func(context.Context, *mi.Request) (*mi.Node, error) {
		close(running)
		time.Sleep(200 * time.Millisecond)
		return &mi.Node{Value: "done"}, nil
	}})
	c := r.client("slow")
	r.client("deaf") // does not read, and does not delay the end
	r.write(":rows:deaf\n10000000\n\n:slow:slow\n\n")
	<-running
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	if got := c.reply(); got != "200 OK\ndone\n\n" {
		t.Errorf("the reply in progress: %q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestReadOnly: commands that change something are refused.
func TestReadOnly(t *testing.T) {
	r := newRig(t, func(o *Options) { o.ReadOnly = true })
	if got := r.ask(":ul_rm:%s\nlocation\nbob\n\n"); !strings.HasPrefix(got, "403 ") {
		t.Errorf("got %q", got)
	}
	r.serves()
}

// TestFloodIsNotLogged: a flood of unreadable requests has few log messages, and none with
// their text, which may contain a secret.
func TestFloodIsNotLogged(t *testing.T) {
	r := newRig(t, nil)
	for range 200 {
		r.write("hunter2\n\n")
		r.write(":hunter2:../x\n\n")
	}
	r.serves()
	if n := strings.Count(r.log.String(), "unreadable"); n < 1 || n > 20 {
		t.Errorf("%d lines in the log", n)
	}
	if strings.Contains(r.log.String(), "hunter2") {
		t.Error("the log has the text of a request")
	}
}
