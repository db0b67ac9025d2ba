package sip

import (
	"bytes"
	"testing"
)

// TestSkipKeepAlives checks that pings are counted, other line ends are removed, and the
// possible start of a ping is not.
func TestSkipKeepAlives(t *testing.T) {
	for _, tc := range []struct {
		in, rest string
		pings    int
	}{
		{"", "", 0},
		{"\r\n\r\n", "", 1},
		{"\r\n\r\n\r\n\r\n\r\n", "\r\n", 2},
		{"\r\n\r", "\r\n\r", 0},
		{"\r\nMESSAGE", "MESSAGE", 0},
		{"\r\n\r\n\r\nMESSAGE", "MESSAGE", 1},
		{"\n\n\n\n\n\n\n\r", "\r", 0},
		{"\r\r\r\r\n", "\r\n", 0},
		{"MESSAGE\r\n\r\n", "MESSAGE\r\n\r\n", 0},
	} {
		rest, pings := SkipKeepAlives([]byte(tc.in))
		if string(rest) != tc.rest || pings != tc.pings {
			t.Errorf("%q: %d pings and %q", tc.in, pings, rest)
		}
	}
}

// TestSkipLineEnds checks that all line ends before a message are removed, and no others.
func TestSkipLineEnds(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "\r\n\r\n\r": "", "\n": "", "\n\r\n\rMESSAGE\r\n": "MESSAGE\r\n", "MESSAGE\r\n": "MESSAGE\r\n", " \r\n": " \r\n",
	} {
		if got := SkipLineEnds([]byte(in)); string(got) != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

// FuzzFramer checks that the messages do not depend on how a stream is split into reads.
func FuzzFramer(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		whole, _ := frameAll(raw, len(raw))
		byByte, _ := frameAll(raw, 1)
		if len(whole) != len(byByte) {
			t.Fatalf("%d messages at once, %d byte by byte", len(whole), len(byByte))
		}
		for i := range whole {
			if !bytes.Equal(whole[i], byByte[i]) {
				t.Fatalf("message %d differs: %q and %q", i, whole[i], byByte[i])
			}
		}
	})
}

// frameAll returns the messages of a stream that is read step bytes at a time.
func frameAll(raw []byte, step int) (msgs [][]byte, err error) {
	var buf []byte
	framer := Framer{Limit: 65535}
	for len(raw) > 0 {
		n := min(step, len(raw))
		buf = append(buf, raw[:n]...)
		raw = raw[n:]
		for {
			buf, _ = SkipKeepAlives(buf)
			msg, rest, err := framer.Next(buf)
			if err != nil || msg == nil {
				if err != nil {
					return msgs, err
				}
				break
			}
			msgs = append(msgs, bytes.Clone(msg))
			buf = append([]byte(nil), rest...)
		}
	}
	return msgs, nil
}
