package db

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"silod/imc"
	"silod/sip"
)

// TestBlocks stores and deletes blocks on each engine.
func TestBlocks(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Rooms()
		blocks := func() string {
			t.Helper()
			var list []string
			err := st.Blocks(t.Context(), func(user, target sip.AoR) {
				list = append(list, user.String()+" "+target.String())
			}, func(err error) { t.Errorf("skipped: %v", err) })
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(list)
			return strings.Join(list, "; ")
		}
		set := func(user, target sip.AoR, on bool) {
			t.Helper()
			if err := st.SetBlock(t.Context(), user, target, on); err != nil {
				t.Fatal(err)
			}
		}
		mark := sip.AoR{User: "<chat-1", Domain: "example.org"}
		for _, target := range []sip.AoR{room1, bob, aor("j%C3%BCrgen@example.org"), mark} {
			set(alice, target, true)
			set(alice, target, true)
		}
		set(bob, alice, true)
		set(alice, room1, false)
		set(alice, room1, false)
		want := "sip:alice@example.org sip:<chat-1@example.org; sip:alice@example.org sip:bob@example.org; " +
			"sip:alice@example.org sip:j%C3%BCrgen@example.org; sip:bob@example.org sip:alice@example.org"
		if got := blocks(); got != want {
			t.Errorf("the blocks are %s\nwant %s", got, want)
		}
		long := sip.AoR{User: strings.Repeat("x", 300), Domain: "example.org"}
		if err := st.SetBlock(t.Context(), alice, long, true); !errors.Is(err, imc.ErrInvalid) {
			t.Errorf("a name that is too long: %v", err)
		}
	})
}
