package silo

import (
	"context"
	"strconv"
	"testing"

	"silod/im"
	"silod/sip"
)

// countless is a store whose mailboxes are empty.
type countless struct{ Store }

func (countless) Usage(context.Context, sip.AoR, string, bool) (Usage, error) { return Usage{}, nil }

// BenchmarkAdmit counts messages for 10,000 users, who are far from every limit.
func BenchmarkAdmit(b *testing.B) {
	s := New(Options{Store: countless{}}, Settings{Mailbox: Usage{50_000, 500_000_000}, PerSender: Usage{10_000, 100_000_000}})
	rows := make([]*Message, 10_000)
	for i := range rows {
		rows[i] = &Message{
			Owner: sip.AoR{User: "u" + strconv.Itoa(i), Domain: "example.org"}, Src: "sip:alice@example.org",
			Message: im.Message{From: "<sip:alice@example.org>;tag=1", Headers: []sip.Header{{Name: "Content-Type", Value: "text/plain"}}},
		}
	}
	in, cfg := &Incoming{}, s.cfg()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		row := rows[i%len(rows)]
		a, err := s.admit(b.Context(), cfg, in, row)
		if err != nil {
			b.Fatal(err)
		}
		s.settle(&a, in, row, false)
	}
}
