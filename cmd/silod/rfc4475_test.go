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

const torture = "../../testdata/rfc4475"

// TestRFC4475 sends the torture messages, byte for byte, and compares what comes
// back with testdata/rfc4475/answers.txt. None may be missing there.
func TestRFC4475(t *testing.T) {
	want := tortureAnswers(t)
	files, err := filepath.Glob(torture + "/*.dat")
	if err != nil || len(files) != 49 || len(want) != 49 {
		t.Fatalf("%d messages, %d expectations, %v", len(files), len(want), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".dat")
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, network := range []string{"udp", "tcp"} {
			t.Run(name+"/"+network, func(t *testing.T) {
				s := serve(t, "sip.domains = ['example.com', 'example.net', 'example.org']", "sip.start_timeout = '1s'")
				if got := s.torture(t, network, raw, want[name][i]); got != want[name][i] {
					t.Errorf("answered %s, want %s", got, want[name][i])
				}
			})
		}
	}
}

func tortureAnswers(t *testing.T) map[string][2]string {
	t.Helper()
	data, err := os.ReadFile(torture + "/answers.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][2]string{}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && !strings.HasPrefix(line, "#") {
			want[f[0]] = [2]string{f[1], f[2]}
		}
	}
	return want
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
