package auth

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"silod/sip"
)

// ErrUnknownUser is what Credentials and Users say of a user who does not exist.
var ErrUnknownUser = errors.New("no such user")

// Credentials knows the secrets of our users. The database implements it on Kamailio's
// subscriber table; Cache stands in front of it.
type Credentials interface {
	// Lookup gives what is known of a user, or ErrUnknownUser. User and domain are
	// compared exactly: a database that takes "Bob" for "bob" must look again, or it
	// lets one user pass for another.
	Lookup(ctx context.Context, user sip.AoR) (Secret, error)
}

// Hashes are HA1s in hexadecimals, by their algorithm.
type Hashes map[Algorithm]string

// Secret is what is known of a user's password: HA1s, or the password itself. It
// never shows in a log.
type Secret struct {
	HA1  Hashes // of "user:realm:password"; Kamailio's ha1 is the one of MD5
	HA1B Hashes // of "user@domain:realm:password", for clients that log in so; Kamailio's ha1b

	// Password is set where the database holds it in the clear (Kamailio's
	// calculate_ha1), and stands in for HA1s that are missing.
	Password string
}

// NewSecret makes the HA1s of all algorithms.
func NewSecret(user sip.AoR, realm, password string) Secret {
	s := Secret{HA1: Hashes{}, HA1B: Hashes{}}
	for _, alg := range Algorithms() {
		s.HA1[alg] = alg.HA1(user.User, realm, password)
		s.HA1B[alg] = alg.HA1(user.User+"@"+user.Domain, realm, password)
	}
	return s
}

// ha1 gives the HA1 for a user name as the client writes it. usable is false where
// none is known; there is one to compute with all the same. The hash of the password
// is made in any case, so that all kinds of secrets take the same time.
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

// String keeps a Secret out of texts.
func (Secret) String() string { return "(secret)" }

// GoString keeps a Secret out of %#v.
func (Secret) GoString() string { return "auth.Secret{}" }

// LogValue keeps a Secret out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
