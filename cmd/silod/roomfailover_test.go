package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/db/dbtest"
)

// Members of a room receive each text once, in order, also when a standby becomes the
// primary that has missed many texts and cursors: the texts after that are not taken for old
// ones.
func TestRoomAfterAFailover(t *testing.T) {
	t.Parallel()
	primary := dbtest.NewPostgreSQL(t)
	url := primary.Database(t)
	standby := primary.LateStandby(t)
	s := serve(t, "db.url = '"+primary.With(standby, url)+"'")
	a, b := s.phone("tcp", "alice"), s.phone("tcp", "bob")
	a.register(300)
	b.register(300)
	for _, u := range []*ua{a, b} {
		if got := u.message(room1, "#join"); got != 200 {
			t.Fatalf("#join was answered %d", got)
		}
	}
	var want, got []string
	post := func(n int) {
		t.Helper()
		for range n {
			text := fmt.Sprint(len(want))
			s.eventually("a text that is accepted", func() bool { return a.message(room1, text) == 200 })
			want = append(want, text)
		}
	}
	receive := func() {
		t.Helper()
		for len(got) < len(want) {
			m := body(b.next())
			if text := m[strings.LastIndexByte(m, ' ')+1:]; slices.Contains(want, text) { // not "bob has joined"
				got = append(got, text)
			}
		}
	}
	post(5)
	receive()
	primary.Forget(t, standby)
	post(100)
	receive()
	time.Sleep(time.Second) // until the cursors are written
	primary.Kill()
	standby.Thaw()
	standby.Promote(t)
	post(10)
	receive()
	b.register(300)
	b.nothing()
	if !slices.Equal(got, want) {
		t.Errorf("bob got %q", got)
	}
}
