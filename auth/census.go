package auth

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"silod/sip"
)

// An Account is the identity of a stored user: a new account of the same name has another number
// and another password.
type Account struct {
	User   sip.AoR
	Row    int64  // the number of the row
	Secret uint64 // a hash of all that is stored of the password
}

// same reports whether two accounts of a name may be the same one: a password changes, and a
// program that writes all rows again gives them other numbers.
func (a *Account) same(b *Account) bool { return a.Row == b.Row || a.Secret == b.Secret }

// Ledger is the part of the store of users that a Census reads.
type Ledger interface {
	// EachAccount calls f for every account. A user may have several.
	EachAccount(ctx context.Context, f func(Account)) error
	// HasAccount reports whether an AoR has an account, or is an alias of a user that has one.
	HasAccount(ctx context.Context, a sip.AoR) (bool, error)
	// AliasesOf returns the aliases of a user.
	AliasesOf(ctx context.Context, user sip.AoR) ([]sip.AoR, error)
}

// A Mark remembers in the database that all users with something to lose had an account when they
// were looked at last: it is the CensusOptions.Scope of then, or 0.
type Mark interface {
	Load(ctx context.Context) (int64, error)
	Save(ctx context.Context, scope int64) error
}

// A Standing says how far a user is known to have had an account.
type Standing int

// The standings.
const (
	Member  Standing = iota // it must have had one, to register or to join a room
	Placed                  // an operator has made it a member of rooms, and may add the account later
	Vouched                 // it may be a user of a trusted peer
)

// CensusOptions are the dependencies of a Census.
type CensusOptions struct {
	Ledger Ledger
	Mark   Mark
	// Watching reports whether users of ours have accounts, so that one without was removed.
	Watching func() bool
	// Scope is never 0, and another number if other settings say which users are ours and have
	// accounts.
	Scope func() int64
	// Each calls f for every user of ours that is registered or in a room.
	Each func(f func(user sip.AoR, standing Standing))
	// Left reports whether Each would call f for a user.
	Left func(user sip.AoR) bool
	// Remove removes all that a user has but the account: contacts, messages, places in rooms.
	Remove func(ctx context.Context, user sip.AoR) error
	// Note notes in the database that Remove has begun, or is complete, and Begun returns the users
	// for which that was noted.
	Note  func(ctx context.Context, user sip.AoR, begun bool) error
	Begun func() []sip.AoR
	Log   *slog.Logger
}

// A Census finds the accounts that are gone, whatever program has removed them, and removes what
// their users have left. What is left is its list of work: a removal that fails is continued by the
// next pass, also of a later process. NewCensus makes one.
type Census struct {
	opt CensusOptions

	turn   sync.Mutex          // held while accounts are added and removed
	known  map[sip.AoR]Account // of users in rooms or registered, as the last pass has seen them
	begun  map[sip.AoR]bool    // removals that must be completed
	taken  bool                // begun has those of the last process
	marked int64               // as Mark has it
	looked bool                // a look was completed
	told   string              // the last complaint
}

// Limits of a Census.
const (
	censusEvery   = 30 * time.Second
	censusConfirm = 2 * time.Second // after which a missing account is looked for again
	censusShare   = 20              // a pass takes at most this part of the time
	censusFew     = 3               // accounts that may be missing at once, whatever the share
)

// NewCensus returns a Census that has not looked at any account.
func NewCensus(opt CensusOptions) *Census {
	return &Census{opt: opt, known: make(map[sip.AoR]Account), begun: make(map[sip.AoR]bool)}
}

// Run looks for accounts that are gone until ctx ends.
func (c *Census) Run(ctx context.Context) error {
	for {
		begin := time.Now()
		c.Check(ctx)
		if !pause(ctx, max(censusEvery, censusShare*time.Since(begin))) {
			return nil
		}
	}
}

// pause returns false if ctx ends before d is over.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Check looks at all accounts once.
func (c *Census) Check(ctx context.Context) {
	c.turn.Lock()
	gone, replaced := c.look(ctx)
	c.turn.Unlock()
	for _, u := range replaced {
		c.finish(ctx, u, true)
	}
	if len(gone) == 0 || !pause(ctx, censusConfirm) {
		return
	}
	for _, u := range gone {
		c.finish(ctx, u, false)
	}
}

// finish removes what a user has left. Without sure, it looks for the account once more: a program
// may be writing its row again.
func (c *Census) finish(ctx context.Context, u sip.AoR, sure bool) {
	c.turn.Lock()
	defer c.turn.Unlock()
	if ctx.Err() != nil {
		return
	}
	if !sure && !c.begun[u] {
		if has, err := c.opt.Ledger.HasAccount(ctx, u); has || err != nil {
			return
		}
	}
	c.opt.Log.Warn("account is gone, its contacts, messages and places in rooms are removed", slog.String("user", u.String()))
	if err := c.remove(ctx, u); err != nil {
		c.opt.Log.Error("removed account has something left, next attempt follows", slog.Any("error", err))
	}
}

// look compares the users that are registered or in rooms with the accounts. It returns those whose
// account is gone, and those whose account is another one now. The caller holds turn.
func (c *Census) look(ctx context.Context) (gone, replaced []sip.AoR) {
	users := map[sip.AoR]Standing{}
	c.opt.Each(func(u sip.AoR, s Standing) { users[u] = s })
	c.takeOver(ctx)
	for u := range c.begun {
		gone = append(gone, u)
	}
	if !c.opt.Watching() {
		c.mark(ctx, false)
		return gone, nil
	}
	if !c.loadMark(ctx) {
		return gone, nil
	}
	now, err := c.compare(ctx, users)
	var missing, strange []sip.AoR
	if err == nil {
		missing, strange, err = c.missing(ctx, users, now.accounts)
	}
	if err != nil {
		c.tell("accounts cannot be compared with users now", err.Error(), 0)
		return gone, nil
	}
	c.looked = true
	c.known = now.accounts
	lost := len(missing) + len(strange) + len(now.replaced)
	switch {
	case now.total == 0 && len(users) > 0 || isMost(lost, len(users)):
		// The table may come back row by row: those that are missing now are not gone later.
		c.tell("most accounts are gone, their users keep contacts, messages and rooms",
			"if they were removed on purpose: siloctl users remove USER", lost)
		c.mark(ctx, false)
		return gone, nil
	case len(strange) > 0:
		c.mark(ctx, false)
		c.tell("users without account keep contacts, messages and rooms",
			"add their accounts, or: siloctl users remove "+strange[0].String(), len(strange))
	default:
		c.told = ""
		c.mark(ctx, true)
	}
	return append(gone, missing...), now.replaced
}

// isMost reports whether so many of the users have lost their accounts that the table is in doubt.
func isMost(lost, users int) bool {
	return lost > 1 && lost == users || lost > censusFew && 2*lost > users
}

// A comparison is the result of a look at all accounts.
type comparison struct {
	total    int                 // all accounts
	accounts map[sip.AoR]Account // of the users
	replaced []sip.AoR           // users whose account is another one than at the last look
}

// compare reads all accounts.
func (c *Census) compare(ctx context.Context, users map[sip.AoR]Standing) (comparison, error) {
	now, kept := comparison{accounts: map[sip.AoR]Account{}}, map[sip.AoR]bool{}
	err := c.opt.Ledger.EachAccount(ctx, func(a Account) {
		now.total++
		if _, named := users[a.User]; !named {
			return
		}
		if old, known := c.known[a.User]; !known || old.same(&a) {
			kept[a.User] = true
		}
		if first, several := now.accounts[a.User]; !several || a.Row < first.Row {
			now.accounts[a.User] = a
		}
	})
	for u := range now.accounts {
		if !kept[u] && !c.begun[u] {
			now.replaced = append(now.replaced, u)
		}
	}
	return now, err
}

// missing returns the users that have no account: those whose account is gone, and strange ones that
// may never have had one.
func (c *Census) missing(ctx context.Context, users map[sip.AoR]Standing, now map[sip.AoR]Account) (gone, strange []sip.AoR, err error) {
	for u, standing := range users {
		_, has := now[u]
		_, known := c.known[u]
		if has || c.begun[u] || standing == Vouched && !known {
			continue
		}
		if has, err = c.opt.Ledger.HasAccount(ctx, u); err != nil {
			return nil, nil, err
		}
		switch {
		case has: // an alias
		case known, c.marked == c.opt.Scope() && (standing != Placed || !c.looked):
			gone = append(gone, u)
		default:
			strange = append(strange, u)
		}
	}
	return gone, strange, nil
}

// tell logs a complaint, once until it changes.
func (c *Census) tell(reason, detail string, users int) {
	if text := fmt.Sprint(reason, detail, users); text != c.told {
		c.told = text
		c.opt.Log.Error("users and accounts do not match",
			slog.String("reason", reason), slog.Int("users", users), slog.String("detail", detail))
	}
}

// loadMark reads the mark, and reports whether that has succeeded.
func (c *Census) loadMark(ctx context.Context) bool {
	marked, err := c.opt.Mark.Load(ctx)
	if err != nil {
		c.tell("accounts cannot be compared with users now", err.Error(), 0)
		return false
	}
	c.marked = marked
	return true
}

// mark sets or removes the mark.
func (c *Census) mark(ctx context.Context, set bool) {
	scope := int64(0)
	if set {
		scope = c.opt.Scope()
	}
	if !c.loadMark(ctx) || c.marked == scope {
		return
	}
	if err := c.opt.Mark.Save(ctx, scope); err != nil {
		c.opt.Log.Error("mark of accounts not saved", slog.Any("error", err))
		return
	}
	c.marked = scope
}
