package main

import (
	"os"
	"strings"
	"testing"
)

// TestRFC4475WithDigest sends the torture messages to a server that asks for
// passwords. They are answered as without, but for those in digest.txt.
func TestRFC4475WithDigest(t *testing.T) {
	const dir = "../../testdata/rfc4475"
	data, err := os.ReadFile(dir + "/digest.txt")
	if err != nil {
		t.Fatal(err)
	}
	messages := tortureMessages(t, dir, 49)
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && !strings.HasPrefix(line, "#") {
			m, ok := messages[f[0]]
			if !ok {
				t.Errorf("there is no message %s", f[0])
			}
			m.answers = f[1:]
			messages[f[0]] = m
		}
	}
	s := serve(t, withDigest, "sip.domains = ['example.com', 'example.net', 'example.org']", "sip.start_timeout = '1s'")
	for name, m := range messages {
		for i, network := range []string{"udp", "tcp"} {
			t.Run(name+"/"+network, func(t *testing.T) {
				if got := s.torture(t, network, m.raw, m.answers[i]); got != m.answers[i] {
					t.Errorf("answered %s, want %s", got, m.answers[i])
				}
			})
		}
	}
}
