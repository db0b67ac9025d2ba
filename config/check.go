package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// check reports problems of keys that depend on each other. The value of each alone has
// been checked before.
func (c *Config) check() []Problem {
	var ps []Problem
	report := func(key, format string, args ...any) {
		ps = append(ps, c.Problem(key, fmt.Sprintf(format, args...)))
	}
	c.checkListen(report)
	c.checkDomains(report)
	c.checkCertificates(report)
	c.checkNames(report)
	c.checkSockets(report)
	c.checkAuth(report)
	if r := c.Registrar; r.MaxExpires != 0 && r.MaxExpires < r.MinExpires {
		report("registrar.max_expires", "expected 0, or at least min_expires (%d), got %d", r.MinExpires, r.MaxExpires)
	}
	if r := c.Registrar; r.NATPing > 0 && r.NATPing < minNATPing {
		report("registrar.nat_ping", "expected \"0s\", or at least \"%s\", got \"%s\"", minNATPing, r.NATPing)
	}
	if r := c.Registrar; r.NATPingFailures > 0 && r.NATPingMethod != "options" {
		report("registrar.nat_ping_failures", "expected nat_ping_method = \"options\": nothing answers to empty lines")
	}
	if s := c.Silo; s.MaxRetry < s.Retry {
		report("silo.max_retry", "expected at least retry (%v), got %v", s.Retry, s.MaxRetry)
	}
	if c.HTTP.Pprof && !isLoopback(c.HTTP.Listen) {
		report("http.pprof", "profiles must not be public: expected listen to be a loopback address such as \"127.0.0.1:9090\"")
	}
	if c.IMC.RoomPattern.MatchString(c.IMC.Manager) {
		report("imc.manager", "%q is the name of a room: it matches room_pattern", c.IMC.Manager)
	}
	return ps
}

// minNATPing is the shortest interval of nat_ping.
const minNATPing = 100 * time.Millisecond

type reporter = func(key, format string, args ...any)

func (c *Config) checkListen(report reporter) {
	seen := map[Listen]bool{}
	for _, l := range c.SIP.Listen {
		if seen[l] && l.Addr.Port() != 0 {
			report("sip.listen", "%q is listed twice", l)
		}
		seen[l] = true
		if l.Secure() && len(c.KeyPairs()) == 0 {
			report("sip.listen", "%q needs tls_certificate and tls_private_key, or [[sip.certificate]]", l)
		}
		if c.Auth.Mode == "none" && !c.IsSet("auth.mode") && !l.Addr.Addr().IsLoopback() {
			report("auth.mode", "it is not set, and other machines can reach %q: set mode = \"digest\", "+
				"or \"none\" if all senders may send as any user", l)
		}
	}
	if len(c.SIP.Listen) == 0 {
		report("sip.listen", "expected at least one address")
	}
}

// checkNames reports columns and tables with the same name.
func (c *Config) checkNames(report reporter) {
	seen := map[string]string{}
	for s, v := range reflect.ValueOf(c.Silo.Columns).Fields() {
		key, name := "silo."+s.Tag.Get("toml"), strings.ToLower(v.String())
		if other := seen[name]; other != "" && name != "" {
			report(key, "%q is already the column of %s", v, other)
		}
		seen[name] = key
	}
	if strings.EqualFold(c.IMC.RoomsTable, c.IMC.MembersTable) {
		report("imc.members_table", "%q is already the table of imc.rooms_table", c.IMC.MembersTable)
	}
}

func (c *Config) checkSockets(report reporter) {
	seen := map[string]string{}
	for _, s := range []struct{ key, path string }{
		{"mi.fifo_name", c.MI.FIFOName},
		{"mi.socket_name", c.MI.SocketName},
		{"mi.control_socket", c.MI.ControlSocket},
		{"mi.read_only_socket", c.MI.ReadOnlySocket},
	} {
		if s.path == "" {
			continue
		}
		if other := seen[s.path]; other != "" {
			report(s.key, "%q is already the path of %s", s.path, other)
		}
		seen[s.path] = s.key
		if len(s.path) > maxSocketPath && s.key != "mi.fifo_name" {
			report(s.key, "%q is longer than %d bytes, the maximum for a socket", s.path, maxSocketPath)
		}
	}
}
