package mi

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// FuzzReader: the next valid request is found after any input.
func FuzzReader(f *testing.F) {
	for _, s := range []string{
		":pwd:r1\n\n", ":x:r\n\"a\\\"b\r\n\r\n\n", "\r\n", ":which:r1\r\n\"\r\n", "{\"a\":\"\n", `:r:{"x":[}`, "::", "[[[", "{}}{", ":pwd:",
		`{"jsonrpc":"2.0","method":"pwd","params":["a",1],"reply_name":"r","id":null}`, ":" + strings.Repeat("y", 1100) + ":z\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, rubbish []byte) {
		in := append(bytes.Clone(rubbish), "\n\n:which:good\nargument\n\n"...)
		fs := frames(t, bytes.NewReader(in))
		if len(fs) == 0 {
			t.Fatal("nothing was read")
		}
		if got := brief(fs[len(fs)-1]); got != `which>good "argument"` {
			t.Fatalf("after %q the good request was read as %s", rubbish, got)
		}
		for _, f := range fs {
			if f.ReplyTo != "" && !GoodReplyName(f.ReplyTo) {
				t.Fatalf("bad reply name %q", f.ReplyTo)
			}
		}
	})
}

func FuzzReadDatagram(f *testing.F) {
	for _, s := range []string{":pwd:\n", ":x:\na::\"b\nc\"", `{"method":"a.b","params":{"x":[1]},"id":"1"}`, "[", ":\x00:"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if fr := ReadDatagram(b); fr != nil {
			s := &Service{Registry: testRegistry(), Transport: Datagram}
			_ = s.Serve(t.Context(), fr, io.Discard)
		}
	})
}
