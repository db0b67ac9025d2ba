package config

import "slices"

// checkAuth reports contradictions in [auth].
func (c *Config) checkAuth(report reporter) {
	a := &c.Auth
	if len(a.Algorithms) == 0 {
		report("auth.algorithms", "expected at least one")
	}
	for i, alg := range a.Algorithms {
		if slices.Contains(a.Algorithms[:i], alg) {
			report("auth.algorithms", "%q is listed twice", alg)
		}
	}
	if a.Relay == "authenticated" && a.Mode == "none" {
		report("auth.relay", `users are not authenticated if mode is "none": set mode = "digest", or relay = "trusted"`)
	}
	seen := map[string]bool{}
	for _, p := range a.Trusted {
		peer := p.Network.String() + p.Name
		if seen[peer] {
			report("auth.trusted", "%q is listed twice", p.text())
		}
		seen[peer] = true
		if p.Name != "" && !slices.ContainsFunc(c.SIP.Listen, func(l Listen) bool { return l.Transport == "tls" }) {
			report("auth.trusted", "%q needs a certificate, and sip.listen has no tls", p.text())
		}
	}
}

// authNotes returns notes about keys of [auth] that have no effect.
func (c *Config) authNotes() []Problem {
	var notes []Problem
	note := func(key, text string) { notes = append(notes, c.Problem(key, text)) }
	relays := slices.ContainsFunc(c.Auth.Trusted, func(p Peer) bool { return p.Relay })
	switch {
	case relays && c.Auth.Relay == "nobody":
		note("auth.trusted", `the right to relay has no effect while relay is "nobody"`)
	case !relays && c.Auth.Relay == "trusted":
		note("auth.relay", "no trusted peer has the right to relay")
	}
	if c.Auth.TrustedCA != "" && !slices.ContainsFunc(c.Auth.Trusted, func(p Peer) bool { return p.Name != "" }) {
		note("auth.trusted_ca", `no trusted peer has a name ("tls:NAME")`)
	}
	return notes
}
