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
		{Name: "challenges", Help: "Challenges made.", Counter: &s.Challenges},
		{Name: "accepted", Help: "Requests whose sender was authenticated.", Counter: &s.Accepted},
		{Name: "no_credentials", Help: "Requests without credentials for their realm.", Counter: &s.NoCredentials},
		{Name: "not_offered", Help: "Answers with an algorithm or quality that was not offered.", Counter: &s.NotOffered},
		{Name: "malformed", Help: "Requests whose credentials could not be read.", Counter: &s.Malformed},
		{Name: "stale_nonces", Help: "Answers to a challenge that was too old, or not ours.", Counter: &s.Stale},
		{Name: "replays", Help: "Answers that had been used before.", Counter: &s.Replayed},
		{Name: "wrong_passwords", Help: "Wrong answers for a user of ours.", Counter: &s.Wrong},
		{Name: "unknown_users", Help: "Answers for a user who does not exist.", Counter: &s.Unknown},
		{Name: "lookup_failures", Help: "Requests whose user could not be looked up.", Counter: &s.Unavailable},
		{Name: "counted_nonces", Help: "Nonces whose use is remembered.", Gauge: func() int64 { return int64(a.used.len()) }},
	}
}
