package auth

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"silod/sip"
)

// ErrUnknownUser is the error of Credentials and Users for a user that does not exist.
var ErrUnknownUser = errors.New("no such user")

// Credentials has the secrets of our users. Package db implements it with Kamailio's
// subscriber table; a Cache wraps that.
type Credentials interface {
	// Lookup returns the secret of a user, or ErrUnknownUser. User and domain must be
	// equal byte by byte: in a database that takes "Bob" for "bob", one user could
	// otherwise authenticate as another.
	Lookup(ctx context.Context, user sip.AoR) (Secret, error)
}

// Hashes are HA1s in hexadecimal digits, by algorithm.
type Hashes map[Algorithm]string

// A Secret is a user's password, or the HA1s that were made from it. It is never
// written to a log.
type Secret struct {
	// Name is the user name as it is stored, of which the HA1s were made; "": that of the AoR.
	// Clients whose users write it otherwise need a Password.
	Name string

	HA1  Hashes // of "user:realm:password"; Kamailio's ha1 is that of MD5
	HA1B Hashes // of "user@domain:realm:password", for clients with such a user name; Kamailio's ha1b

	// Password is set if the database has it in the clear (Kamailio's calculate_ha1).
	// It is used if an HA1 is missing.
	Password string
}

// NewSecret returns the HA1s of all algorithms.
func NewSecret(user sip.AoR, realm, password string) Secret {
	s := Secret{HA1: Hashes{}, HA1B: Hashes{}}
	for _, alg := range Algorithms() {
		s.HA1[alg] = alg.HA1(user.User, realm, password)
		s.HA1B[alg] = alg.HA1(user.User+"@"+user.Domain, realm, password)
	}
	return s
}

// ha1 returns the HA1 for a user name as the client writes it. If it has none, it returns
// some other HA1, and usable is false. It computes the hash of the password in any case,
// so that all kinds of secrets take the same time.
func (s *Secret) ha1(alg Algorithm, name, realm string) (ha1 string, usable bool) {
	made := alg.HA1(name, realm, s.Password)
	stored := s.HA1[alg]
	if strings.Contains(name, "@") {
		stored = s.HA1B[alg]
	}
	if stored != "" {
		return strings.ToLower(stored), true
	}
	return made, s.Password != ""
}

// String keeps a Secret out of strings.
func (Secret) String() string { return "(secret)" }

// GoString keeps a Secret out of %#v.
func (Secret) GoString() string { return "auth.Secret{}" }

// LogValue keeps a Secret out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
