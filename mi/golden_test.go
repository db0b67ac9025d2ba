package mi

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var update = flag.Bool("update", false, "write the replies into testdata instead of comparing them")

// transcript is one exchange of a golden file. Lines that begin with "> " are the request, and
// those that begin with "< " the reply. Each is a quoted Go string.
type transcript struct {
	title         string
	request, want string
}

func readTranscripts(t *testing.T, path string) []transcript {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []transcript
	for line := range strings.Lines(string(data)) {
		mark, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if mark == "#" {
			all = append(all, transcript{title: rest})
		}
		if mark != ">" && mark != "<" {
			continue
		}
		s, err := strconv.Unquote(rest)
		if err != nil {
			t.Fatalf("%s: %s: %v", path, line, err)
		}
		last := &all[len(all)-1]
		if mark == ">" {
			last.request += s
		} else {
			last.want += s
		}
	}
	return all
}

func writeTranscripts(t *testing.T, path string, all []transcript) {
	t.Helper()
	var b strings.Builder
	for _, tr := range all {
		fmt.Fprintf(&b, "# %s\n", tr.title)
		for line := range strings.Lines(tr.request) {
			fmt.Fprintf(&b, "> %q\n", line)
		}
		for line := range strings.Lines(tr.want) {
			fmt.Fprintf(&b, "< %q\n", line)
		}
		b.WriteString("\n")
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestGolden compares the replies in every framing with testdata, byte by byte.
func TestGolden(t *testing.T) {
	for file, transport := range map[string]Transport{
		"classic.txt": Pipe, "kamailio.txt": Pipe, "opensips.txt": Pipe, "datagram.txt": Datagram, "control.txt": Stream,
	} {
		t.Run(file, func(t *testing.T) {
			path := filepath.Join("testdata", file)
			all := readTranscripts(t, path)
			for i, tr := range all {
				synctest.Test(t, func(t *testing.T) {
					got := exchange(t, transport, tr.request)
					if *update {
						all[i].want = got
					} else if got != tr.want {
						t.Errorf("%s: %q\n got %q\nwant %q", tr.title, tr.request, got, tr.want)
					}
				})
			}
			if *update {
				writeTranscripts(t, path, all)
			}
		})
	}
}

// exchange returns the reply of a daemon that started two seconds ago.
func exchange(t *testing.T, transport Transport, request string) string {
	t.Helper()
	r := testRegistry()
	var c Counter
	c.Add(7)
	r.Counters("msilo", Stat{Name: "stored_messages", Counter: &c}, Stat{Name: "dumped_messages", Counter: new(Counter)})
	r.Counters("imc", Stat{Name: "active_rooms", Gauge: func() int64 { return 3 }})
	time.Sleep(2 * time.Second)
	s := &Service{Registry: r, Transport: transport}
	var out bytes.Buffer
	var fs []*Frame
	if transport == Datagram {
		fs = []*Frame{ReadDatagram([]byte(request))}
	} else {
		fs = frames(t, strings.NewReader(request))
	}
	for _, f := range fs {
		if err := s.Serve(t.Context(), f, &out); err != nil {
			t.Fatal(err)
		}
	}
	dir, _ := os.Getwd()
	return strings.NewReplacer(
		strconv.Itoa(os.Getpid()), "1234", dir, "/var/lib/silod", runtime.Version(), "go1.26", runtime.GOARCH+"/", "x86_64/",
	).Replace(out.String())
}
