package silo

import (
	"testing"

	"silod/sip"
)

// A line is refused with an error, or is a message with a line of the same meaning.
func FuzzUnarchive(f *testing.F) {
	f.Add([]byte(`{"user":"bob","domain":"x.org","stored":"2026-11-21T12:00:00Z","headers":[["A","b"]],"body":"x"}`))
	f.Add([]byte(`{"user":{"base64":"/w=="},"domain":"x","stored":"0001-01-01T00:00:01Z","headers":[["",""]],"copies":[{"device":""}]}`))
	f.Add([]byte(`{"user":"a","domain":"b","stored":"2026-11-21T12:00:00+02:00","expires":"9999-12-31T23:59:59Z","stuck":"\u0000"}`))
	f.Add([]byte("{}\n[]\nnull"))
	domains := sip.NewDomains("example.org")
	f.Fuzz(func(t *testing.T, lines []byte) {
		list, err := unarchive(lines, domains)
		if err != nil {
			return
		}
		for _, a := range list {
			m := a.message()
			line, err := plainJSON(archive(m, nil))
			if err != nil {
				t.Fatal(err)
			}
			again, err := unarchive(line, domains)
			if err != nil || len(again) != 1 {
				t.Fatalf("%s: %v", line, err)
			}
			if got, want := again[0].key(), archive(m, nil).key(); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
	})
}
