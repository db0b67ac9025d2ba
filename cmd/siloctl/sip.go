package main

import (
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"silod/e2e/phone"
	"silod/sip"
)

// sipFlags say how send and listen reach the server over SIP.
type sipFlags struct {
	server        string
	transport     string
	local         string
	name          string
	user          string
	passwordStdin bool
}

// Where a silod without a configuration listens, and how long SIP lets it take.
const (
	defaultServer = "127.0.0.1:5060"
	sipTime       = 32 * time.Second // RFC 3261 section 17.1.2.2
)

// add declares the flags.
func (s *sipFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.server, "server", defaultServer, "the SIP server, host or host:port")
	f.StringVar(&s.transport, "transport", "", "udp or tcp; without it UDP, and TCP for what is too long for UDP")
	f.StringVar(&s.local, "local", "", "the local address to send from")
	f.StringVar(&s.name, "name", "", "the display name to send")
	f.StringVar(&s.user, "user", "", "the user name for the password, where it is not that of the address")
	f.BoolVar(&s.passwordStdin, "password-stdin", false, "read the password from standard input")
	must(cmd.RegisterFlagCompletionFunc("transport", cobra.FixedCompletions([]string{"udp", "tcp"}, noFiles)))
}

// check refuses what makes no sense for SIP.
func (s *sipFlags) check(a *app, verb string) error {
	if a.output == "mi" {
		return usagef("%s speaks SIP: -o table or -o json", verb)
	}
	if s.transport != "" && s.transport != "udp" && s.transport != "tcp" {
		return usagef("--transport is udp or tcp, not %q", s.transport)
	}
	return nil
}

// phone makes the user agent. A request over transport goes there where --transport
// does not say otherwise.
func (a *app) phone(cmd *cobra.Command, s *sipFlags, aor, transport string,
	receive func(*phone.Message) phone.Answer,
) (*phone.Phone, error) {
	password := ""
	if s.passwordStdin {
		var err error
		if password, err = a.password(cmd.Context(), true, "", false); err != nil {
			return nil, err
		}
	}
	if s.transport != "" {
		transport = s.transport
	}
	server := s.server
	if transport != "" {
		server = transport + ":" + strings.TrimPrefix(strings.TrimPrefix(server, "udp:"), "tcp:")
	}
	timeout := sipTime
	if cmd.Flags().Changed("timeout") {
		timeout = a.target.Timeout
	}
	p, err := phone.New(phone.Config{
		AoR: aor, Name: s.name, User: s.user, Password: password,
		Server: server, Local: s.local, Receive: receive, Timeout: timeout,
	})
	if err != nil {
		return nil, usagef("%s", err)
	}
	return p, nil
}

// complete makes an address of what people type: "bob" is of the server's domain.
func (s *sipFlags) complete(who string) string {
	if who == "" || strings.ContainsAny(who, "@<:") {
		return who
	}
	server := strings.TrimPrefix(strings.TrimPrefix(s.server, "udp:"), "tcp:")
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		host = strings.Trim(server, "[]")
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return who + "@" + host
}

// shortURI leaves away what goes without saying.
func shortURI(u sip.URI) string {
	s := clean(u.String())
	if u.Scheme == "sip" {
		s = strings.TrimPrefix(s, "sip:")
	}
	return s
}
