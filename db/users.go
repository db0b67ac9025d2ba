package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"silod/auth"
	"silod/sip"
)

// A UserStore holds the users that have a password, and their aliases.
type UserStore interface {
	auth.Users
	auth.Ledger
	Aliases(ctx context.Context, user, alias sip.AoR) (bool, error) // an auth.Aliases
	Addresses(ctx context.Context, a sip.AoR) (accounts, aliases []sip.AoR, err error)
	Exists(ctx context.Context, a sip.AoR) (bool, error) // as a user or as an alias
}

// users implements UserStore on Kamailio's table subscriber, which has only the MD5 hash.
// silod_secret has the hashes of the other algorithms and of the name as a URI writes it, each row
// with the MD5 hash of the same password: when another program changes the password, the rows no
// longer count.
type users struct {
	layout *layout
	writer *writer
	reader *reader

	now func() time.Time

	hasAliases atomic.Bool               // the table dbaliases exists
	noAliases  atomic.Pointer[time.Time] // when it did not; nil: never
}

// readUserColumns records whether users may have no domain.
func (l *layout) readUserColumns(ctx context.Context, q querier) error {
	info, err := l.dialect.columns(ctx, q, "subscriber")
	if err != nil {
		return fmt.Errorf("inspect table subscriber: %w", err)
	}
	l.nullDomains = info["domain"].nullable
	l.fill = l.replacer()
	return nil
}

// secretTable has the hashes for which subscriber has no column.
var secretTable = table{name: "silod_secret", keys: 3, fields: []field{
	{name: "username"}, {name: "domain"}, {name: "alg"}, {name: "ha1"}, {name: "ha1b"}, {name: "md5"},
}}

// subscriberTable is Kamailio's table of users, in the order of secretRow.
var subscriberTable = table{name: "subscriber", serial: "id", fields: []field{
	{name: "username"}, {name: "domain"}, {name: "password"}, {name: "ha1"}, {name: "ha1b"},
}}

// secretRow returns the row of a user in subscriber.
func secretRow(n rowName, s *auth.Secret) []any {
	return []any{n.user, n.domain, s.Password, s.HA1[auth.MD5], s.HA1B[auth.MD5]}
}

// A userRow is a row of subscriber, with the rows of silod_secret that belong to it.
type userRow struct {
	name   rowName
	secret auth.Secret
}

// A furtherHash is one for which subscriber has no column: of another algorithm than MD5, or of
// the name as a URI writes it.
type furtherHash struct {
	alg   auth.Algorithm
	inURI bool
}

// furtherHashes are all kinds of them.
func furtherHashes() (out []furtherHash) {
	for _, alg := range auth.Algorithms() {
		if alg != auth.MD5 {
			out = append(out, furtherHash{alg, false})
		}
		out = append(out, furtherHash{alg, true})
	}
	return out
}

// String returns the value of the column alg.
func (h furtherHash) String() string {
	if h.inURI {
		return string(h.alg) + "/uri"
	}
	return string(h.alg)
}

// of returns the maps of a secret that have the hashes.
func (h furtherHash) of(s *auth.Secret) (ha1, ha1b *auth.Hashes) {
	if h.inURI {
		return &s.InURI.HA1, &s.InURI.HA1B
	}
	return &s.HA1, &s.HA1B
}

// selectUser is a SELECT of subscriber with two columns for each of the further hashes.
var selectUser = func() string {
	columns, joins := "SELECT s.username, s.domain, s.password, s.ha1, s.ha1b", ""
	for i, h := range furtherHashes() {
		columns += fmt.Sprintf(", x%d.ha1, x%[1]d.ha1b", i)
		joins += fmt.Sprintf(" LEFT JOIN silod_secret x%d ON x%[1]d.username = s.username AND x%[1]d.domain = s.domain"+
			" AND x%[1]d.alg = '%s' AND x%[1]d.md5 = s.ha1", i, h)
	}
	return columns + " FROM subscriber s" + joins
}()

// scanUser reads a row of selectUser.
func scanUser(row scanner) (userRow, error) {
	further := furtherHashes()
	values := make([]any, 5+2*len(further))
	ptrs := make([]any, len(values))
	for i := range values {
		ptrs[i] = &values[i]
	}
	if err := scan(row, ptrs...); err != nil {
		return userRow{}, fmt.Errorf("read user: %w", err)
	}
	n := rowName{asText(values[0]), asText(values[1])}
	s := auth.Secret{Name: n.user, HA1: auth.Hashes{}, HA1B: auth.Hashes{}, Password: asText(values[2])}
	set := func(hashes *auth.Hashes, alg auth.Algorithm, value any) {
		if v := asText(value); v != "" {
			if *hashes == nil {
				*hashes = auth.Hashes{}
			}
			(*hashes)[alg] = v
		}
	}
	set(&s.HA1, auth.MD5, values[3])
	set(&s.HA1B, auth.MD5, values[4])
	for i, h := range further {
		ha1, ha1b := h.of(&s)
		set(ha1, h.alg, values[5+2*i])
		set(ha1b, h.alg, values[6+2*i])
	}
	return userRow{n, s}, nil
}

// A selector runs a SELECT, inside the writer's transaction or outside.
type selector func(text string, args ...any) (*sql.Rows, error)

// users returns the rows of subscriber that the rest of a SELECT finds.
func (query selector) users(rest string, args ...any) ([]userRow, error) {
	rows, err := query(selectUser+rest, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []userRow
	for rows.Next() {
		r, err := scanUser(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// reading returns the selector of the reader.
func (st *users) reading(ctx context.Context) selector {
	return func(text string, args ...any) (*sql.Rows, error) { return st.reader.query(ctx, text, args...) }
}

// find returns the rows of a user. The one with the name of the AoR is the first: if programs
// that tell case apart have made several, it is the one that counts.
func (st *users) find(query selector, user sip.AoR) ([]userRow, error) {
	cond, args := st.layout.anySpelling("s.username", user.User, lowerUsersIndex)
	if user.Domain != st.layout.domains.Default() { // else it may be any of its names, or none
		args = append(args, user.Domain)
		cond += fmt.Sprintf(" AND lower(s.domain) = $%d", len(args))
	}
	rows, err := query.users(" WHERE "+cond+" ORDER BY s.id", args...)
	if err != nil {
		return nil, err
	}
	var out []userRow
	for _, r := range rows {
		switch {
		case st.layout.aor(r.name) != user:
		case r.name == rowName{user.User, user.Domain}:
			out = slices.Insert(out, 0, r)
		default:
			out = append(out, r)
		}
	}
	return out, nil
}

// Lookup implements auth.Credentials. It reads subscriber and silod_secret in one statement,
// so that both are of the same password. Errors are auth.ErrUnknownUser and errBusy.
func (st *users) Lookup(ctx context.Context, user sip.AoR) (auth.Secret, error) {
	rows, err := st.find(st.reading(ctx), user)
	if err != nil {
		return auth.Secret{}, fmt.Errorf("look up user: %w", busy(err))
	}
	if len(rows) == 0 {
		return auth.Secret{}, fmt.Errorf("%s: %w", user, auth.ErrUnknownUser)
	}
	return rows[0].secret, nil
}

// Users implements auth.Users. It reads by pages, in the order of domain and name in the rows.
// Of several rows of a user only the one that counts is listed.
func (st *users) Users(ctx context.Context) iter.Seq2[auth.User, error] {
	return func(yield func(auth.User, error) bool) {
		last := rowName{}
		for {
			page, err := st.page(ctx, last)
			for _, r := range page {
				u := auth.User{AoR: st.layout.aor(r.name), Algorithms: algorithmsOf(&r.secret)}
				if last = r.name; u.AoR.User == "" {
					continue
				}
				if last != (rowName{u.AoR.User, u.AoR.Domain}) {
					var rows []userRow
					if rows, err = st.find(st.reading(ctx), u.AoR); err != nil {
						break
					}
					if len(rows) > 0 && rows[0].name != last {
						continue
					}
				}
				if !yield(u, nil) {
					return
				}
			}
			if err != nil {
				yield(auth.User{}, fmt.Errorf("list users: %w", busy(err)))
				return
			}
			if len(page) < pageRows {
				return
			}
		}
	}
}

// algorithmsOf returns the algorithms that a user can be asked for.
func algorithmsOf(s *auth.Secret) (out []auth.Algorithm) {
	for _, alg := range auth.Algorithms() {
		if s.Password != "" || s.HA1[alg] != "" {
			out = append(out, alg)
		}
	}
	return out
}

// page returns the rows after last, in the order of domain and name.
func (st *users) page(ctx context.Context, last rowName) ([]userRow, error) {
	return st.reading(ctx).users(" WHERE s.domain >= $2 AND (s.domain > $2 OR s.username > $1) ORDER BY s.domain, s.username LIMIT $3",
		last.user, last.domain, pageRows)
}

// AddUser implements auth.Users. It returns auth.ErrUserExists if the user exists, under
// whatever name.
func (st *users) AddUser(ctx context.Context, user sip.AoR, secret auth.Secret) error {
	return st.change(ctx, "add", user, func(s *session, rows []userRow) error {
		if len(rows) > 0 {
			return auth.ErrUserExists
		}
		n := st.nameFor(user, &secret)
		if _, err := s.insert(&subscriberTable, [][]any{secretRow(n, &secret)}); err != nil {
			return err
		}
		return putSecrets(s, n, &secret)
	})
}

// nameFor returns the name for a row with a secret: the one that its hashes are of.
func (st *users) nameFor(user sip.AoR, secret *auth.Secret) rowName {
	if n := (rowName{secret.Name, user.Domain}); fits(userName, n.user) && st.layout.aor(n) == user {
		return n
	}
	return st.layout.name(user, userName)
}

// SetSecret implements auth.Users. It replaces the clear-text password too, because the old
// one would still be accepted. Of several rows of the user one remains. Its name becomes the
// one that the new hashes are of. It returns auth.ErrUnknownUser if the user does not exist.
func (st *users) SetSecret(ctx context.Context, user sip.AoR, secret auth.Secret) error {
	return st.change(ctx, "set the password of", user, func(s *session, rows []userRow) error {
		if len(rows) == 0 {
			return auth.ErrUnknownUser
		}
		n, kept := st.nameFor(user, &secret), rows[0].name
		for _, r := range rows {
			if r.name.user == n.user {
				kept = r.name
				break
			}
		}
		for _, r := range rows {
			if r.name == kept {
				continue
			}
			if err := removeUser(s, r.name); err != nil {
				return err
			}
		}
		err := s.exec("UPDATE subscriber SET username = $3, password = $4, ha1 = $5, ha1b = $6 WHERE "+rowOfUser,
			kept.user, kept.domain, n.user, secret.Password, secret.HA1[auth.MD5], secret.HA1B[auth.MD5])
		if err == nil {
			err = removeSecrets(s, kept)
		}
		if err != nil {
			return err
		}
		return putSecrets(s, rowName{n.user, kept.domain}, &secret)
	})
}

// RemoveUser implements auth.Users. It returns auth.ErrUnknownUser if the user does not exist.
func (st *users) RemoveUser(ctx context.Context, user sip.AoR) error {
	return st.change(ctx, "remove", user, func(s *session, rows []userRow) error {
		for _, r := range rows {
			if err := removeUser(s, r.name); err != nil {
				return err
			}
		}
		if len(rows) == 0 {
			return auth.ErrUnknownUser
		}
		return nil
	})
}

// rowOfUser selects the rows with the name $1 and the domain $2, which may be NULL for "".
const rowOfUser = "username = $1 AND (domain = $2 OR $2 = '' AND domain IS NULL)"

// removeUser deletes the rows with a name.
func removeUser(s *session, n rowName) error {
	if err := s.exec("DELETE FROM subscriber WHERE "+rowOfUser, n.user, n.domain); err != nil {
		return err
	}
	return removeSecrets(s, n)
}

func removeSecrets(s *session, n rowName) error {
	return s.exec("DELETE FROM silod_secret WHERE username = $1 AND domain = $2", n.user, n.domain)
}

// change runs f as a step, with the rows of the user. If f returns ErrUserExists or
// ErrUnknownUser, that is not a failure of the transaction, which other writes share:
// it is committed, and change returns the error.
func (st *users) change(ctx context.Context, doing string, user sip.AoR, f func(*session, []userRow) error) error {
	if n := st.layout.name(user, userName); !fits(userName, n.user) || !fits(userName, n.domain) || n.user == "" {
		return fmt.Errorf("%s user: %w: the name %s is too long or empty", doing, errInvalid, user)
	}
	var outcome error
	err := st.writer.step(ctx, 1, func(s *session) error {
		rows, err := st.find(s.query, user)
		if err != nil {
			return err
		}
		outcome = f(s, rows)
		if errors.Is(outcome, auth.ErrUserExists) || errors.Is(outcome, auth.ErrUnknownUser) {
			return nil
		}
		return outcome
	})
	if err == nil {
		err = outcome
	}
	if err != nil {
		return fmt.Errorf("%s user %s: %w", doing, user, err)
	}
	return nil
}

// userName is the width of names in subscriber and silod_secret.
var userName = columnInfo{width: 64}

// putSecrets replaces the further hashes.
func putSecrets(s *session, n rowName, secret *auth.Secret) error {
	if err := removeSecrets(s, n); err != nil {
		return err
	}
	var rows [][]any
	for _, h := range furtherHashes() {
		if ha1, ha1b := h.of(secret); (*ha1)[h.alg] != "" {
			rows = append(rows, []any{n.user, n.domain, h.String(), (*ha1)[h.alg], (*ha1b)[h.alg], secret.HA1[auth.MD5]})
		}
	}
	if rows == nil {
		return nil
	}
	return s.upsert(&secretTable, rows)
}
