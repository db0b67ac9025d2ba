package auth

import (
	"context"
	"errors"
	"iter"
	"strings"

	"silod/mi"
	"silod/sip"
)

// ErrUserExists is the error of Users.AddUser for a user that exists.
var ErrUserExists = errors.New("user exists")

// A User is a user with a password, in a list.
type User struct {
	AoR        sip.AoR
	Algorithms []Algorithm // for which the password or an HA1 is stored
}

// Users stores our users. Package db implements it with Kamailio's subscriber table, and
// one of ours for the columns that are missing there. A change is committed when the
// method returns.
type Users interface {
	Credentials
	// Users returns all users, ordered by domain and name.
	Users(ctx context.Context) iter.Seq2[User, error]
	// AddUser adds a user. It returns ErrUserExists if the user exists.
	AddUser(ctx context.Context, user sip.AoR, secret Secret) error
	// SetSecret replaces all that is stored of a password, a password in the clear too.
	// It returns ErrUnknownUser for an unknown user.
	SetSecret(ctx context.Context, user sip.AoR, secret Secret) error
	// RemoveUser removes a user. It returns ErrUnknownUser for an unknown user.
	RemoveUser(ctx context.Context, user sip.AoR) error
}

// AccountOptions are what Accounts need.
type AccountOptions struct {
	Users   Users
	Domains sip.Domains
	Realm   func(domain string) string // returns the realm of a domain's users; nil: the domain
	Census  *Census                    // removes what a removed user has left; nil: that stays
	Changed func(user sip.AoR)         // called after each change, such as Cache.Invalidate; may be nil
}

// Accounts manages users for administrators. It stores the HA1s of all algorithms, from
// which the password cannot be read. NewAccounts makes one.
type Accounts struct{ opt AccountOptions }

// NewAccounts returns the management of these users.
func NewAccounts(opt AccountOptions) *Accounts { return &Accounts{opt} }

// Commands returns the management commands for users.
func (a *Accounts) Commands() []mi.Command {
	const password = "password"
	return []mi.Command{
		{
			Name: "sub_list", Aliases: []string{"sub.list"},
			Help: "Lists the users with a password, and the digest algorithms that it supports.", Run: a.list,
		},
		{
			Name: "sub_add", Aliases: []string{"sub.add"}, Args: "user " + password, MinArgs: 2, MaxArgs: 2,
			Writes: true, Private: []string{password}, Help: "Adds a user with a password.", Run: a.add,
		},
		{
			Name: "sub_passwd", Aliases: []string{"sub.passwd"}, Args: "user " + password, MinArgs: 2, MaxArgs: 2,
			Writes: true, Private: []string{password}, Help: "Changes the password of a user.", Run: a.setPassword,
		},
		{
			Name: "sub_remove", Aliases: []string{"sub.remove"}, Args: "user", MinArgs: 1, MaxArgs: 1,
			Writes: true, Help: "Removes a user: the password, contacts, waiting messages and places in rooms.", Run: a.remove,
		},
	}
}

func (a *Accounts) list(ctx context.Context, _ *mi.Request) (*mi.Node, error) {
	return &mi.Node{List: true, Stream: func(yield func(*mi.Node, error) bool) {
		for u, err := range a.opt.Users.Users(ctx) {
			if err != nil {
				yield(nil, err)
				return
			}
			names := make([]string, len(u.Algorithms))
			for i, alg := range u.Algorithms {
				names[i] = string(alg)
			}
			n := &mi.Node{Name: "USER", Attrs: []mi.Attr{
				{Name: "user", Value: u.AoR.String()},
				{Name: "algorithms", Value: strings.Join(names, " ")},
			}}
			if !yield(n, nil) {
				return
			}
		}
	}}, nil
}

func (a *Accounts) add(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	return a.set(ctx, req, a.addUser)
}

func (a *Accounts) setPassword(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	return a.set(ctx, req, a.opt.Users.SetSecret)
}

func (a *Accounts) remove(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	user, err := a.user(req)
	if err != nil {
		return nil, err
	}
	remove := func() error {
		err := a.opt.Users.RemoveUser(ctx, user)
		a.forget(user) // before the rest is removed, which takes longer
		return err
	}
	if a.opt.Census == nil {
		return a.changed(user, remove())
	}
	return a.changed(user, a.opt.Census.Remove(ctx, user, remove))
}

// addUser adds a user.
func (a *Accounts) addUser(ctx context.Context, user sip.AoR, secret Secret) error {
	add := func() error { return a.opt.Users.AddUser(ctx, user, secret) }
	if a.opt.Census == nil {
		return add()
	}
	return a.opt.Census.Add(ctx, user, add)
}

// forget calls Changed.
func (a *Accounts) forget(user sip.AoR) {
	if a.opt.Changed != nil {
		a.opt.Changed(user)
	}
}

// set runs a command that sets the password of a user.
func (a *Accounts) set(ctx context.Context, req *mi.Request, do func(context.Context, sip.AoR, Secret) error) (*mi.Node, error) {
	user, err := a.user(req)
	if err != nil {
		return nil, err
	}
	password := req.Arg(1)
	if err := checkPassword(password); err != nil {
		return nil, err
	}
	realm := user.Domain
	if a.opt.Realm != nil {
		realm = a.opt.Realm(user.Domain)
	}
	name := a.spelling(req.Arg(0), user)
	// If the database fails here, so does the change.
	if old, err := a.opt.Users.Lookup(ctx, user); err == nil && old.Name != "" {
		name = old.Name // the phones of the user write it so
	}
	return a.changed(user, do(ctx, user, newSecret(name, user, quotable(realm), password)))
}

// user returns the user that the first argument names.
func (a *Accounts) user(req *mi.Request) (sip.AoR, error) {
	user, ours, err := a.opt.Domains.Parse(req.Arg(0))
	switch {
	case err != nil:
		return user, mi.Errorf(400, "Bad user, %v", err)
	case !ours:
		return user, mi.Errorf(400, "%s is not a domain of this server", user.Domain)
	}
	return user, nil
}

// spelling returns the user name as an administrator wrote it, in capitals for example: phones
// hash it as their users write it.
func (a *Accounts) spelling(arg string, user sip.AoR) string {
	name := strings.Trim(arg, " <>")
	if at := strings.LastIndexByte(name, '@'); at >= 0 {
		name = name[:at]
	}
	if scheme, rest, ok := strings.Cut(name, ":"); ok && (strings.EqualFold(scheme, "sip") || strings.EqualFold(scheme, "sips")) {
		name = rest
	}
	name = writtenName(sip.AoR{User: name})
	if a.opt.Domains.Row(name, user.Domain) != user {
		return writtenName(user)
	}
	return name
}

// maxPassword is the length of the longest password, in bytes.
const maxPassword = 256

// checkPassword returns an mi.Error for a password that is not accepted.
func checkPassword(password string) error {
	switch {
	case password == "":
		return mi.Errorf(400, "The password is empty")
	case len(password) > maxPassword:
		return mi.Errorf(400, "The password is longer than %d bytes", maxPassword)
	case strings.ContainsFunc(password, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return mi.Errorf(400, "The password contains a control character")
	}
	return nil
}

// changed returns the reply to a change, after it has called Changed. It does so for most
// errors too, because the change may have been committed.
func (a *Accounts) changed(user sip.AoR, err error) (*mi.Node, error) {
	switch {
	case errors.Is(err, ErrUserExists):
		return nil, mi.Errorf(409, "User %s exists: sub_passwd changes the password", user)
	case errors.Is(err, ErrUnknownUser):
		return nil, mi.Errorf(404, "No user %s", user)
	}
	a.forget(user)
	if errors.Is(err, ErrLeft) {
		return nil, mi.Errorf(503, "User %s is removed. What the user has left cannot be removed now, and is tried again", user)
	}
	if err != nil {
		return nil, err
	}
	return &mi.Node{}, nil
}
