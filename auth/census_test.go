package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"silod/sip"
)

// town is a Ledger, a Mark and the users of a test.
type town struct {
	accounts  map[string]Account
	aliases   map[string]string // to users
	users     map[string]Standing
	removed   []string
	noted     map[sip.AoR]bool
	marked    int64 // the scope of then
	scope     int64
	elsewhere bool  // users have no accounts here
	down      error // of the table
	failing   error // of removals
	log       strings.Builder
}

func townOf(users ...string) *town {
	c := &town{accounts: map[string]Account{}, aliases: map[string]string{}, users: map[string]Standing{}, noted: map[sip.AoR]bool{}, scope: 1}
	for _, u := range users {
		c.add(u)
		c.users[u] = Member
	}
	return c
}

func at(user string) sip.AoR { return sip.AoR{User: user, Domain: "example.org"} }

// add adds an account, with a number and a password that no other has.
func (c *town) add(user string) {
	n := int64(len(c.accounts)*100 + len(c.removed) + 1)
	c.accounts[user] = Account{at(user), n, uint64(n)}
}

func (c *town) EachAccount(_ context.Context, f func(Account)) error {
	for _, a := range c.accounts {
		f(a)
	}
	return c.down
}

func (c *town) HasAccount(_ context.Context, a sip.AoR) (bool, error) {
	_, has := c.accounts[a.User]
	if of, alias := c.aliases[a.User]; alias {
		_, has = c.accounts[of]
	}
	return has, c.down
}

func (c *town) AliasesOf(_ context.Context, user sip.AoR) (list []sip.AoR, err error) {
	for alias, of := range c.aliases {
		if of == user.User {
			list = append(list, at(alias))
		}
	}
	return list, c.down
}

func (c *town) Load(context.Context) (int64, error) { return c.marked, nil }

func (c *town) Save(_ context.Context, scope int64) error {
	c.marked = scope
	return nil
}

func (c *town) census() *Census {
	return NewCensus(CensusOptions{
		Ledger: c, Mark: c, Watching: func() bool { return !c.elsewhere },
		Log:   slog.New(slog.NewTextHandler(&c.log, nil)),
		Scope: func() int64 { return c.scope },
		Each: func(f func(sip.AoR, Standing)) {
			for _, u := range slices.Sorted(maps.Keys(c.users)) {
				f(at(u), c.users[u])
			}
		},
		Left: func(u sip.AoR) bool {
			_, left := c.users[u.User]
			return left
		},
		Note: func(_ context.Context, u sip.AoR, begun bool) error {
			if delete(c.noted, u); begun {
				c.noted[u] = true
			}
			return nil
		},
		Begun: func() []sip.AoR { return slices.Collect(maps.Keys(c.noted)) },
		Remove: func(_ context.Context, u sip.AoR) error {
			if c.failing == nil {
				c.removed = append(c.removed, u.User)
				delete(c.users, u.User)
			}
			return c.failing
		},
	})
}

// TestCensus changes the accounts between two looks.
func TestCensus(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*town)
		want   string // the users whose things are removed
		log    string
	}{
		{"nothing", func(*town) {}, "", ""},
		{"one is gone", func(c *town) { delete(c.accounts, "u1") }, "u1", "account is gone"},
		{"another account of the name", func(c *town) { c.accounts["u1"] = Account{at("u1"), 999, 999} }, "u1", "account is gone"},
		{"another password", func(c *town) { c.accounts["u1"] = Account{at("u1"), c.accounts["u1"].Row, 999} }, "", ""},
		{"all rows written again", func(c *town) {
			for u, a := range c.accounts {
				c.accounts[u] = Account{a.User, a.Row + 1000, a.Secret}
			}
		}, "", ""},
		{"empty table", func(c *town) { clear(c.accounts) }, "", "most accounts are gone"},
		{"most are gone", func(c *town) {
			for _, u := range []string{"u1", "u2", "u3", "u4", "u5"} {
				delete(c.accounts, u)
			}
		}, "", "most accounts are gone"},
		{"table not readable", func(c *town) { clear(c.accounts); c.down = errors.New("down") }, "", "cannot be compared"},
		{"an alias of an account", func(c *town) { delete(c.accounts, "u1"); c.aliases["u1"] = "u2" }, "", ""},
		{"an alias of a removed account", func(c *town) { delete(c.accounts, "u1"); c.aliases["u1"] = "gone" }, "u1", "account is gone"},
		{"users are elsewhere", func(c *town) { delete(c.accounts, "u1"); c.elsewhere = true }, "", ""},
		{"registered by a trusted peer", func(c *town) { c.users["guest"] = Vouched }, "", ""},
		{"account gone, registered by a trusted peer", func(c *town) { delete(c.accounts, "u1"); c.users["u1"] = Vouched }, "u1", "account is gone"},
		{"placed by an operator, no account yet", func(c *town) { c.users["guest"] = Placed }, "", "users without account keep"},
		{"account gone, placed by an operator", func(c *town) { delete(c.accounts, "u1"); c.users["u1"] = Placed }, "u1", "account is gone"},
		{"another domain is ours", func(c *town) { c.users["guest"], c.scope = Member, 2 }, "", "users without account keep"},
		{"back in time", func(c *town) {
			delete(c.accounts, "u1")
		}, "u1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := townOf("u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8")
				s := w.census()
				s.Check(t.Context())
				if len(w.removed) > 0 || w.marked == 0 {
					t.Fatalf("at first %q are removed", w.removed)
				}
				c.change(w)
				s.Check(t.Context())
				if got := strings.Join(w.removed, " "); got != c.want || !strings.Contains(w.log.String(), c.log) {
					t.Errorf("%q are removed, want %q; log:\n%s", got, c.want, w.log.String())
				}
				if doubt := strings.Contains(w.log.String(), "most") || strings.Contains(w.log.String(), "without account keep"); (w.elsewhere || doubt) != (w.marked == 0) {
					t.Errorf("the mark is %d", w.marked)
				}
			})
		})
	}
}

// TestCensusAtStart: a new process knows by the mark that users without account had one.
func TestCensusAtStart(t *testing.T) {
	for _, marked := range []bool{true, false} {
		t.Run(fmt.Sprint(marked), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := townOf("u1", "u2", "u3")
				w.marked = map[bool]int64{true: w.scope}[marked]
				delete(w.accounts, "u1")
				s := w.census()
				s.Check(t.Context())
				if got := strings.Join(w.removed, " "); (got == "u1") != marked || !marked && !strings.Contains(w.log.String(), "siloctl users remove sip:u1@example.org") {
					t.Errorf("%q are removed; log:\n%s", got, w.log.String())
				}
				add := func() error { w.add("u1"); return nil }
				if err := s.Add(t.Context(), at("u1"), add); err != nil || strings.Join(w.removed, " ") != map[bool]string{true: "u1"}[marked] {
					t.Errorf("with the new account %q are removed; %v", w.removed, err)
				}
			})
		})
	}
}

// TestAccountComesBack: an account that another program writes again is not gone.
func TestAccountComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := townOf("u1", "u2")
		s := w.census()
		s.Check(t.Context())
		delete(w.accounts, "u1")
		done := make(chan bool)
		go func() {
			s.Check(t.Context())
			close(done)
		}()
		synctest.Wait()
		s.turn.Lock()
		w.add("u1")
		s.turn.Unlock()
		<-done
		if len(w.removed) > 0 {
			t.Errorf("%q are removed", w.removed)
		}
	})
}

// TestRemovalIsCompleted: a removal that fails is completed by a later look, even while the table is in
// doubt.
func TestRemovalIsCompleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := townOf("u1", "u2", "u3")
		w.aliases["sales"], w.users["sales"] = "u1", Member
		s := w.census()
		s.Check(t.Context())
		w.failing = errors.New("down")
		remove := func() error { delete(w.accounts, "u1"); return nil }
		if err := s.Remove(t.Context(), at("u1"), remove); !errors.Is(err, ErrLeft) {
			t.Fatalf("got %v", err)
		}
		w.failing = nil
		clear(w.accounts)
		s.Check(t.Context())
		slices.Sort(w.removed)
		if got := strings.Join(w.removed, " "); got != "sales u1" {
			t.Errorf("%q are removed", got)
		}
		if err := s.Remove(t.Context(), at("u1"), func() error { return ErrUnknownUser }); !errors.Is(err, ErrUnknownUser) {
			t.Errorf("the second removal returned %v", err)
		}
		w.users["ghost"] = Member
		if err := s.Remove(t.Context(), at("ghost"), func() error { return ErrUnknownUser }); err != nil || w.removed[len(w.removed)-1] != "ghost" {
			t.Errorf("a user without account is not removed: %v", err)
		}
	})
}

// TestTableFillsAgain: the accounts of a table that was emptied come back one by one. Users whose
// account is not back yet keep their things, also in the next process.
func TestTableFillsAgain(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		for _, n := range []int{2, 3, 10} {
			t.Run(fmt.Sprint(n, restarts), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var names []string
					for i := range n {
						names = append(names, fmt.Sprint("u", i))
					}
					w := townOf(names...)
					s := w.census()
					s.Check(t.Context())
					w.users["u0"] = Placed
					clear(w.accounts)
					s.Check(t.Context())
					for _, u := range names {
						if restarts {
							s = w.census()
						}
						if err := s.Add(t.Context(), at(u), func() error { w.add(u); return nil }); err != nil {
							t.Fatal(err)
						}
						s.Check(t.Context())
						if len(w.removed) > 0 {
							t.Fatalf("%q are removed when %s is back", w.removed, u)
						}
					}
					if w.marked == 0 {
						t.Error("no mark when all are back")
					}
					delete(w.accounts, "u1")
					if s.Check(t.Context()); len(w.removed) != 1 {
						t.Errorf("%q are removed", w.removed)
					}
				})
			})
		}
	}
}

// TestOtherTable: a table with other users, or with new numbers and passwords for all of them, removes
// nothing.
func TestOtherTable(t *testing.T) {
	for _, kept := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := townOf("u1", "u2")
			s := w.census()
			s.Check(t.Context())
			clear(w.accounts)
			for i, u := range []string{"u1", "u2"} {
				if !kept {
					u = "other" + u
				}
				w.accounts[u] = Account{at(u), int64(900 + i), uint64(900 + i)}
			}
			for range 3 {
				s.Check(t.Context())
			}
			if len(w.removed) > 0 || (w.marked != 0) != kept {
				t.Errorf("%q are removed, the mark is %d", w.removed, w.marked)
			}
		})
	}
}

// TestRemovalAfterCrash: the next process completes a removal, also where users without account may
// be those of a peer, and before a new account of the name. One that has not reached the account is
// not carried out.
func TestRemovalAfterCrash(t *testing.T) {
	for _, again := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := townOf("u1", "u2", "u3")
			w.users["u1"], w.users["guest"] = Vouched, Vouched
			w.failing = errors.New("killed")
			remove := func() error { delete(w.accounts, "u1"); return nil }
			if err := w.census().Remove(t.Context(), at("u1"), remove); !errors.Is(err, ErrLeft) {
				t.Fatalf("got %v", err)
			}
			w.noted[at("u2")] = true
			w.failing = nil
			s := w.census()
			if again {
				if err := s.Add(t.Context(), at("u1"), func() error { w.add("u1"); return nil }); err != nil {
					t.Fatal(err)
				}
			}
			s.Check(t.Context())
			if got := strings.Join(w.removed, " "); got != "u1" || len(w.noted) > 0 {
				t.Errorf("%q are removed, %v are noted", got, w.noted)
			}
		})
	}
}
