package auth

import (
	"context"
	"crypto/subtle"
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
	// Clients whose users write it neither so nor as in the AoR need a Password.
	Name string

	HA1  Hashes // of "user:realm:password"; Kamailio's ha1 is that of MD5
	HA1B Hashes // of "user@domain:realm:password", for clients with such a user name; Kamailio's ha1b

	// InURI has the HA1s of the user name as the AoR writes it, if that is not Name: clients that
	// know a user by a URI only hash "9901%231".
	InURI struct{ HA1, HA1B Hashes }

	// Password is set if the database has it in the clear (Kamailio's calculate_ha1).
	// It is used if an HA1 is missing, or is its own.
	Password string
}

// NewSecret returns the HA1s of all algorithms for a user with this name and domain.
func NewSecret(user sip.AoR, realm, password string) Secret {
	return newSecret(writtenName(user), user, realm, password)
}

// newSecret is NewSecret for a user whose name is written in this way.
func newSecret(name string, user sip.AoR, realm, password string) Secret {
	s := Secret{Name: name}
	s.HA1, s.HA1B = hashes(name, user.Domain, realm, password)
	if name != user.User {
		s.InURI.HA1, s.InURI.HA1B = hashes(user.User, user.Domain, realm, password)
	}
	return s
}

// hashes returns the HA1s of a user name, without and with the domain.
func hashes(name, domain, realm, password string) (ha1, ha1b Hashes) {
	ha1, ha1b = Hashes{}, Hashes{}
	for _, alg := range Algorithms() {
		ha1[alg] = alg.HA1(name, realm, password)
		ha1b[alg] = alg.HA1(name+"@"+domain, realm, password)
	}
	return ha1, ha1b
}

// proves reports whether the response in credentials was made with the secret of a user. If the
// secret has no password for their algorithm, usable is false. It computes the same hashes for
// all kinds of secrets, so that they take the same time.
func (s *Secret) proves(c *credentials, of candidate, realm, method string) (right, usable bool) {
	name, stored := s.stored(c, of)
	var buf [4]hashable
	var ha1s [len(buf)]string
	list, made := appendSpellings(buf[:0], c.username, s.Password), ""
	for i, h := range list {
		ha1s[i] = c.algorithm.HA1(h.name, realm, h.password)
		if h.name == name && made == "" {
			made = ha1s[i]
		}
	}
	if made == "" {
		made = c.algorithm.HA1(name, realm, s.Password)
	}
	// A password in the clear serves clients that write the name otherwise, if it is not an old one.
	current := stored == "" || stored == made
	equal := 0
	for i := range list {
		ha1 := ha1s[i]
		if s.Password == "" || !current {
			ha1 = stored
		}
		equal |= subtle.ConstantTimeCompare([]byte(c.expected(ha1, method)), []byte(c.response))
	}
	usable = stored != "" || s.Password != ""
	return usable && equal == 1, usable
}

// stored returns a name of the user, and the HA1 that was made of it; "": there is none. The name
// is the one in credentials if there is an HA1 of that.
func (s *Secret) stored(c *credentials, of candidate) (name, ha1 string) {
	name, ha1 = s.Name, s.HA1[c.algorithm]
	inURI, ha1InURI := of.user.User, s.InURI.HA1[c.algorithm]
	if name == "" {
		name = writtenName(of.user)
	}
	if of.withDomain {
		name, ha1 = name+"@"+of.user.Domain, s.HA1B[c.algorithm]
		inURI, ha1InURI = inURI+"@"+of.user.Domain, s.InURI.HA1B[c.algorithm]
	}
	if c.username == inURI && ha1InURI != "" {
		name, ha1 = inURI, ha1InURI
	}
	return name, strings.ToLower(ha1)
}

// String keeps a Secret out of strings.
func (Secret) String() string { return "(secret)" }

// GoString keeps a Secret out of %#v.
func (Secret) GoString() string { return "auth.Secret{}" }

// LogValue keeps a Secret out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
