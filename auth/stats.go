package auth

import "silod/mi"

// Stats count the decisions of an Authenticator.
type Stats struct {
	Challenges                  mi.Counter
	Accepted                    mi.Counter
	NoCredentials, NotOffered   mi.Counter
	Malformed                   mi.Counter
	Stale, Replayed             mi.Counter
	Wrong, Unknown, Unavailable mi.Counter
}

// Counters returns the statistics of the Authenticator.
func (a *Authenticator) Counters() []mi.Stat {
	s := &a.Stats
	return []mi.Stat{
		{Name: "challenges", Help: "Challenges created.", Counter: &s.Challenges},
		{Name: "accepted", Help: "Authenticated requests.", Counter: &s.Accepted},
		{Name: "no_credentials", Help: "Requests without credentials for their realm.", Counter: &s.NoCredentials},
		{Name: "not_offered", Help: "Credentials with an algorithm or qop that was not offered.", Counter: &s.NotOffered},
		{Name: "malformed", Help: "Requests with malformed credentials.", Counter: &s.Malformed},
		{Name: "stale_nonces", Help: "Credentials with a nonce that is expired or not from this server.", Counter: &s.Stale},
		{Name: "replays", Help: "Credentials that were used before.", Counter: &s.Replayed},
		{Name: "wrong_passwords", Help: "Credentials with a wrong password.", Counter: &s.Wrong},
		{Name: "unknown_users", Help: "Credentials of an unknown user.", Counter: &s.Unknown},
		{Name: "lookup_failures", Help: "Requests whose user lookup failed.", Counter: &s.Unavailable},
		{Name: "counted_nonces", Help: "Nonces with recorded nonce counts.", Gauge: func() int64 { return int64(a.used.len()) }},
	}
}
