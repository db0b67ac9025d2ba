package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"silod/sip"
)

// bareNames is a paragraph of the help of send and listen.
const bareNames = "A name without a domain is in the main domain of the daemon, which siloctl asks over its socket; where\n" +
	"no daemon runs, or --server names another host, it is at that host."

// address returns the address of a user as a phone sends it, with the escapes that RFC 3261 section
// 25.1 asks for. A name without a domain is in the server's main domain.
func (a *app) address(cmd *cobra.Command, s *sipFlags, name string) (sip.NameAddr, error) {
	addr, err := parseNameAddr(name)
	if errors.Is(err, sip.ErrScheme) {
		return addr, usagef("address %q: %s", name, err)
	}
	if err != nil {
		if !strings.ContainsAny(name, "@:<") {
			domain, err := a.mainDomain(cmd, s, name)
			if err != nil {
				return addr, err
			}
			name += "@" + domain
		}
		aor, err := sip.ParseAoR(name)
		if err != nil {
			return addr, usagef("address %q: %s", name, err)
		}
		addr, err = parseNameAddr(aor.String())
		return addr, err
	}
	addr.URI.User = addr.URI.AoR().User
	return addr, nil
}

// mainDomain returns the main domain of the SIP server for a name without one: the daemon tells it. Where
// no daemon is, or --server names another host than the daemon's, it is the host of --server.
func (a *app) mainDomain(cmd *cobra.Command, s *sipFlags, name string) (string, error) {
	changed := cmd.Flags().Changed
	named := changed("server")
	names, err := a.domainNames(cmd.Context())
	switch {
	case err == nil && (!named || isLocal(s.endpoint.host) || slices.Contains(names, strings.ToLower(s.endpoint.host))):
		return names[0], nil
	case err != nil && (!named || changed("socket") || changed("fifo")):
		return "", fmt.Errorf("%q has no domain: write %[1]s@DOMAIN, or name the SIP server with --server: %w", name, err)
	}
	if strings.Contains(s.endpoint.host, ":") {
		return "[" + s.endpoint.host + "]", nil
	}
	return s.endpoint.host, nil
}

// domainNames returns the names of the daemon's main domain, that one first. IPv6 addresses are without
// brackets.
func (a *app) domainNames(ctx context.Context) ([]string, error) {
	n, err := a.ask(ctx, "domain_dump")
	if err != nil {
		return nil, err
	}
	var names []string
	main := ""
	for _, c := range n.Nodes {
		d := eventOf(c)
		if main == "" {
			main = d["domain"]
		}
		if d["domain"] == main {
			names = append(names, strings.Trim(d["name"], "[]"))
		}
	}
	if main == "" {
		return nil, errors.New("the daemon has no domain")
	}
	names[0] = main
	return names, nil
}

// isLocal reports whether a host is this machine by one of its loopback names.
func isLocal(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
