package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRFC4475 sends the torture messages, byte for byte, and compares what comes
// back with testdata/rfc4475/answers.txt. None may be missing there.
func TestRFC4475(t *testing.T) {
	for name, m := range tortureMessages(t, "../../testdata/rfc4475", 49) {
		for i, network := range []string{"udp", "tcp"} {
			t.Run(name+"/"+network, func(t *testing.T) {
				s := serve(t, "sip.domains = ['example.com', 'example.net', 'example.org']", "sip.start_timeout = '1s'")
				if got := s.torture(t, network, m.raw, m.answers[i]); got != m.answers[i] {
					t.Errorf("answered %s, want %s", got, m.answers[i])
				}
			})
		}
	}
}

// TestRFC5118 does the same with the messages of IPv6, over IPv6.
func TestRFC5118(t *testing.T) {
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("there is no IPv6 here: ", err)
	} else {
		_ = l.Close()
	}
	for name, m := range tortureMessages(t, "../../testdata/rfc5118", 12) {
		t.Run(name, func(t *testing.T) {
			s := serveIn(t, t.TempDir(), "'tcp:[::1]:0'", "sip.start_timeout = '1s'",
				"sip.domains = ['example.com', 'host.example.net', '2001:db8::10', '2001:db8::192.0.2.1']")
			if got := s.torture(t, "tcp", m.raw, m.answers[0]); got != m.answers[0] {
				t.Errorf("answered %s, want %s", got, m.answers[0])
			}
		})
	}
}

// tortured is a message and what silod answers to it, by transport.
type tortured struct {
	raw     []byte
	answers []string
}

// tortureMessages reads the messages of a directory, n of them, and answers.txt.
func tortureMessages(t *testing.T, dir string, n int) map[string]tortured {
	t.Helper()
	data, err := os.ReadFile(dir + "/answers.txt")
	if err != nil {
		t.Fatal(err)
	}
	messages := map[string]tortured{}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 2 || strings.HasPrefix(line, "#") {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, f[0]+".dat"))
		if err != nil {
			t.Fatal(err)
		}
		messages[f[0]] = tortured{raw, f[1:]}
	}
	files, err := filepath.Glob(dir + "/*.dat")
	if err != nil || len(files) != n || len(messages) != n {
		t.Fatalf("%d messages, %d expectations, %v", len(files), len(messages), err)
	}
	return messages
}

// torture sends a message from a socket of its own and says what came back, in
// the words of answers.txt. It listens until it has heard what is wanted, and for
// a moment where that is silence.
func (s *served) torture(t *testing.T, network string, raw []byte, want string) string {
	t.Helper()
	d := net.Dialer{}
	if network == "udp" {
		// Without rport the answer goes to the port in Via, which is 5060 in all of
		// them: so that is where they come from, each from an address of its own.
		d.LocalAddr = &net.UDPAddr{IP: net.IPv4(127, 1, byte(len(raw)>>8), byte(len(raw))), Port: 5060}
	}
	c, err := d.Dial(network, s.addr(network).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(raw); err != nil {
		t.Fatal(err)
	}
	var got []string
	for len(got) <= strings.Count(want, ",") {
		wait := patience
		if want == "-" {
			wait = silence
		}
		_ = c.SetReadDeadline(time.Now().Add(wait))
		answer := make([]byte, 65536)
		n, err := c.Read(answer)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return strings.Join(append(got, "-"), ",")
		case errors.Is(err, io.EOF) || err != nil && network == "tcp":
			return strings.Join(append(got, "close"), ",")
		case err != nil:
			t.Fatal(err)
		}
		r := bufio.NewScanner(strings.NewReader(string(answer[:n])))
		for r.Scan() {
			if code, ok := strings.CutPrefix(r.Text(), "SIP/2.0 "); ok {
				got = append(got, code[:3])
			}
		}
	}
	slices.Sort(got) // two requests may be answered in any order
	return strings.Join(got, ",")
}
