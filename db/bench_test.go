package db

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"silod/registrar"
	"silod/sip"
)

// BenchmarkAdd stores as 512 concurrent callers do, each waiting for its commit, and as
// one caller does.
func BenchmarkAdd(b *testing.B) {
	body := strings.Repeat("x", 200)
	for _, e := range engines {
		for _, callers := range []int{1, 512} {
			b.Run(fmt.Sprintf("%s/callers=%d", e.name, callers), func(b *testing.B) {
				st := open(b, e.fresh(b), Options{}).Messages()
				var n atomic.Int64
				loop := func() {
					m := text(body)
					m.Owner.User = fmt.Sprint("u", n.Add(1)%10000)
					if err := st.Add(b.Context(), m); err != nil {
						b.Error(err)
					}
				}
				b.ResetTimer()
				if callers == 1 {
					for b.Loop() {
						loop()
					}
				} else {
					b.SetParallelism(callers / 2)
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							loop()
						}
					})
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}

// BenchmarkAddAndDelete stores, reads and deletes messages.
func BenchmarkAddAndDelete(b *testing.B) {
	for _, e := range engines {
		b.Run(e.name, func(b *testing.B) {
			st := open(b, e.fresh(b), Options{}).Messages()
			var n atomic.Int64
			b.SetParallelism(256)
			b.RunParallel(func(pb *testing.PB) {
				owner := sip.AoR{User: fmt.Sprint("u", n.Add(1)), Domain: "example.org"}
				done := make(chan error, 1)
				for pb.Next() {
					m := text("hello")
					m.Owner = owner
					if err := st.Add(b.Context(), m); err != nil {
						b.Error(err)
					}
					ms, err := st.Next(b.Context(), owner, nil, 0, 10, noon)
					if len(ms) != 1 || err != nil {
						b.Error(len(ms), err)
					}
					st.Delete(m.ID, func(err error) { done <- err })
					if err := <-done; err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// BenchmarkNextMiss reads an empty mailbox, as at a REGISTER, in a table with so many
// messages of others.
func BenchmarkNextMiss(b *testing.B) {
	for _, e := range engines {
		for _, rows := range []int{0, 1_000_000} {
			b.Run(fmt.Sprintf("%s/rows=%d", e.name, rows), func(b *testing.B) {
				db := open(b, e.fresh(b), Options{})
				if rows > 0 {
					rawExec(b, db, `INSERT INTO silo (src_addr, dst_addr, username, domain, inc_time, exp_time, snd_time, ctype, body)
						SELECT 'sip:a@example.org', 'sip:b@example.org', CONCAT('u', n % 10000), 'example.org', n, 2147483647, 0, 'text/plain', 'x' `+
						strings.Replace(series[e.name], "100000", fmt.Sprint(rows), 1))
				}
				for b.Loop() {
					if ms, err := db.Messages().Next(b.Context(), aor("nobody@example.org"), nil, 0, 10, time.Now()); len(ms) > 0 || err != nil {
						b.Fatal(len(ms), err)
					}
				}
			})
		}
	}
}

// BenchmarkSave refreshes bindings as REGISTER requests do.
func BenchmarkSave(b *testing.B) {
	for _, e := range engines {
		for _, callers := range []int{1, 512} {
			b.Run(fmt.Sprintf("%s/callers=%d", e.name, callers), func(b *testing.B) {
				st := open(b, e.fresh(b), Options{}).Bindings()
				var n atomic.Int64
				b.SetParallelism(max(callers/2, 1))
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						c := simpleBinding(fmt.Sprint("r", n.Add(1)%1000))
						if err := st.Save(b.Context(), []registrar.Change{c}); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}
