package db

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"

	"silod/auth"
	"silod/sip"
)

// A UserStore holds the users that have a password, and their aliases.
type UserStore interface {
	auth.Credentials
	auth.Users
	Aliases(ctx context.Context, user, alias sip.AoR) (bool, error) // an auth.Aliases
	Exists(ctx context.Context, a sip.AoR) (bool, error)            // as a user or as an alias
}

// users implements UserStore on Kamailio's table subscriber, which has only the MD5 hash.
// silod_secret has the hashes of the other algorithms, each row with the MD5 hash of the
// same password: when another program changes the password, the rows no longer count.
type users struct {
	layout *layout
	writer *writer
	reader *reader

	hasAliases atomic.Bool // the table dbaliases exists
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
func secretRow(user sip.AoR, s *auth.Secret) []any {
	return []any{user.User, user.Domain, s.Password, s.HA1[auth.MD5], s.HA1B[auth.MD5]}
}

// otherAlgorithms returns the algorithms for which subscriber has no column.
func otherAlgorithms() (out []auth.Algorithm) {
	for _, alg := range auth.Algorithms() {
		if alg != auth.MD5 {
			out = append(out, alg)
		}
	}
	return out
}

// selectUser returns a SELECT of subscriber with two columns for each of the other
// algorithms.
func selectUser() string {
	columns, joins := "SELECT s.username, s.domain, s.password, s.ha1, s.ha1b", ""
	for i, alg := range otherAlgorithms() {
		columns += fmt.Sprintf(", x%d.ha1, x%[1]d.ha1b", i)
		joins += fmt.Sprintf(" LEFT JOIN silod_secret x%d ON x%[1]d.username = s.username AND x%[1]d.domain = s.domain"+
			" AND x%[1]d.alg = '%s' AND x%[1]d.md5 = s.ha1", i, alg)
	}
	return columns + " FROM subscriber s" + joins
}

// scanUser reads a row of selectUser.
func scanUser(scan func(...any) error) (sip.AoR, auth.Secret, error) {
	values := make([]any, 5+2*len(otherAlgorithms()))
	ptrs := make([]any, len(values))
	for i := range values {
		ptrs[i] = &values[i]
	}
	if err := scan(ptrs...); err != nil {
		return sip.AoR{}, auth.Secret{}, fmt.Errorf("read user: %w", err)
	}
	s := auth.Secret{HA1: auth.Hashes{}, HA1B: auth.Hashes{}, Password: asText(values[2])}
	set := func(alg auth.Algorithm, ha1, ha1b any) {
		if v := asText(ha1); v != "" {
			s.HA1[alg] = v
		}
		if v := asText(ha1b); v != "" {
			s.HA1B[alg] = v
		}
	}
	set(auth.MD5, values[3], values[4])
	for i, alg := range otherAlgorithms() {
		set(alg, values[5+2*i], values[6+2*i])
	}
	return sip.AoR{User: asText(values[0]), Domain: strings.ToLower(asText(values[1]))}, s, nil
}

// Lookup implements auth.Credentials. It reads subscriber and silod_secret in one statement,
// so that both are of the same password. Errors are auth.ErrUnknownUser and errBusy.
func (st *users) Lookup(ctx context.Context, user sip.AoR) (auth.Secret, error) {
	rows, err := st.reader.query(ctx, selectUser()+" WHERE {account:1}", user.User, user.Domain)
	if err != nil {
		return auth.Secret{}, fmt.Errorf("look up user: %w", busy(err))
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return auth.Secret{}, fmt.Errorf("look up user: %w", busy(err))
		}
		return auth.Secret{}, fmt.Errorf("%s: %w", user, auth.ErrUnknownUser)
	}
	_, secret, err := scanUser(rows.Scan)
	return secret, err
}

// Users implements auth.Users. It reads by pages, in the order of domain and name.
func (st *users) Users(ctx context.Context) iter.Seq2[auth.User, error] {
	return func(yield func(auth.User, error) bool) {
		last := sip.AoR{}
		for {
			page, err := st.page(ctx, last)
			if err != nil {
				yield(auth.User{}, fmt.Errorf("list users: %w", busy(err)))
				return
			}
			for _, u := range page {
				if !yield(u, nil) {
					return
				}
				last = u.AoR
			}
			if len(page) < pageRows {
				return
			}
		}
	}
}

// page returns the next users after last, in the order of domain and name.
func (st *users) page(ctx context.Context, last sip.AoR) ([]auth.User, error) {
	rows, err := st.reader.query(ctx, selectUser()+
		" WHERE s.domain >= $2 AND (s.domain > $2 OR s.username > $1) ORDER BY s.domain, s.username LIMIT $3", last.User, last.Domain, pageRows)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []auth.User
	for rows.Next() {
		a, secret, err := scanUser(rows.Scan)
		if err != nil {
			return nil, err
		}
		u := auth.User{AoR: a}
		for _, alg := range auth.Algorithms() {
			if secret.Password != "" || secret.HA1[alg] != "" {
				u.Algorithms = append(u.Algorithms, alg)
			}
		}
		out = append(out, u)
	}
	return out, rows.Err()
}

// AddUser implements auth.Users. It returns auth.ErrUserExists if the user exists.
func (st *users) AddUser(ctx context.Context, user sip.AoR, secret auth.Secret) error {
	return st.change(ctx, "add", user, func(s *session, existing bool) error {
		if existing {
			return auth.ErrUserExists
		}
		if _, err := s.insert(&subscriberTable, [][]any{secretRow(user, &secret)}); err != nil {
			return err
		}
		return putSecrets(s, user, &secret)
	})
}

// SetSecret implements auth.Users. It replaces the clear-text password too, because the old
// one would still be accepted. It returns auth.ErrUnknownUser if the user does not exist.
func (st *users) SetSecret(ctx context.Context, user sip.AoR, secret auth.Secret) error {
	return st.change(ctx, "set the password of", user, func(s *session, existing bool) error {
		if !existing {
			return auth.ErrUnknownUser
		}
		_, err := s.exec("UPDATE subscriber SET password = $3, ha1 = $4, ha1b = $5 WHERE username = $1 AND domain = $2",
			user.User, user.Domain, secret.Password, secret.HA1[auth.MD5], secret.HA1B[auth.MD5])
		if err != nil {
			return err
		}
		return putSecrets(s, user, &secret)
	})
}

// RemoveUser implements auth.Users. It returns auth.ErrUnknownUser if the user does not exist.
func (st *users) RemoveUser(ctx context.Context, user sip.AoR) error {
	return st.change(ctx, "remove", user, func(s *session, existing bool) error {
		if !existing {
			return auth.ErrUnknownUser
		}
		_, err := s.exec("DELETE FROM subscriber WHERE username = $1 AND domain = $2", user.User, user.Domain)
		if err != nil {
			return err
		}
		_, err = s.exec("DELETE FROM silod_secret WHERE username = $1 AND domain = $2", user.User, user.Domain)
		return err
	})
}

// change runs f as a step, with the fact whether the user exists. If f returns ErrUserExists
// or ErrUnknownUser, that is not a failure of the transaction, which other writes share:
// it is committed, and change returns the error.
func (st *users) change(ctx context.Context, doing string, user sip.AoR, f func(*session, bool) error) error {
	if !fits(userName, user.User) || !fits(userName, user.Domain) || user.User == "" {
		return fmt.Errorf("%s user: %w: the name %s is too long or empty", doing, errInvalid, user)
	}
	var outcome error
	err := st.writer.step(ctx, 1, func(s *session) error {
		n, err := s.ints("SELECT COUNT(*) FROM subscriber s WHERE {account:1}", user.User, user.Domain)
		if err != nil {
			return err
		}
		outcome = f(s, n[0] > 0)
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

// putSecrets replaces the hashes of the other algorithms.
func putSecrets(s *session, user sip.AoR, secret *auth.Secret) error {
	if _, err := s.exec("DELETE FROM silod_secret WHERE username = $1 AND domain = $2", user.User, user.Domain); err != nil {
		return err
	}
	var rows [][]any
	for _, alg := range otherAlgorithms() {
		if secret.HA1[alg] != "" {
			rows = append(rows, []any{user.User, user.Domain, string(alg), secret.HA1[alg], secret.HA1B[alg], secret.HA1[auth.MD5]})
		}
	}
	if rows == nil {
		return nil
	}
	return s.upsert(&secretTable, rows)
}
