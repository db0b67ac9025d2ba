package main

import (
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"silod/sip"
)

// sipFlags are the flags of send and listen for the way to the server.
type sipFlags struct {
	server        string
	transport     string
	ca            string
	local         string
	name          string
	user          string
	passwordStdin bool

	endpoint endpoint // of server and transport, after check
}

// The SIP address of a silod without a configuration, and the timeout of a SIP transaction.
const (
	defaultServer = "127.0.0.1:5060"
	sipTimeout    = 32 * time.Second // RFC 3261 section 17.1.2.2
)

// sipTransports are the transports of send and listen.
var sipTransports = []string{"udp", "tcp", "tls"}

// add declares the flags.
func (s *sipFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.server, "server", defaultServer, "the SIP server, host or host:port")
	f.StringVar(&s.transport, "transport", "", "udp, tcp or tls; by default UDP, and TCP for texts that are too long for UDP")
	f.StringVar(&s.ca, "ca", "", "with tls: a PEM file of the CA to trust, instead of the system's")
	f.StringVar(&s.local, "local", "", "the local address to send from")
	f.StringVar(&s.name, "name", "", "the display name to send")
	f.StringVar(&s.user, "user", "", "the user name for the password, if it is not that of the address")
	f.BoolVar(&s.passwordStdin, "password-stdin", false, "read the password from standard input")
	must(cmd.RegisterFlagCompletionFunc("transport", cobra.FixedCompletions(sipTransports, noFiles)))
}

// check validates the flags and parses the server's address.
func (s *sipFlags) check(cmd *cobra.Command, a *app) error {
	if a.output == "mi" {
		return usagef("%s does not ask the daemon: use -o table or -o json", cmd.Name())
	}
	if s.transport != "" && !slices.Contains(sipTransports, s.transport) {
		return usagef("--transport is udp, tcp or tls, not %q", s.transport)
	}
	var err error
	if s.endpoint, err = parseEndpoint(s.server); err != nil {
		return usagef("server %q: %s", s.server, err)
	}
	if s.transport != "" {
		s.endpoint.network = s.transport
	}
	if s.endpoint.network == "tls" && !cmd.Flags().Changed("server") {
		s.endpoint.port = 0 // TLS has a port of its own
	}
	return nil
}

// userAgent returns the user agent of a command. With overTCP it uses TCP in place of UDP, unless
// --transport is set.
func (a *app) userAgent(
	cmd *cobra.Command, s *sipFlags, aor sip.NameAddr, overTCP bool, receive func(*sipMessage) int,
) (*userAgent, error) {
	settings := sipSettings{
		aor: aor.URI.String(), name: s.name, user: s.user, server: s.endpoint, local: s.local, timeout: sipTimeout, receive: receive,
	}
	var err error
	if s.passwordStdin {
		if settings.password, err = a.password(cmd.Context(), true, "", false); err != nil {
			return nil, err
		}
	}
	if s.ca != "" {
		if settings.roots, err = readRoots(s.ca); err != nil {
			return nil, err
		}
	}
	if overTCP && s.transport == "" && settings.server.network == "udp" {
		settings.server.network = "tcp"
	}
	if cmd.Flags().Changed("timeout") {
		settings.timeout = a.target.Timeout
	}
	u, err := newUserAgent(settings)
	if err != nil {
		return nil, usagef("%s", err)
	}
	return u, nil
}

// readRoots reads the certificates of a PEM file.
func readRoots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no PEM certificate", file)
	}
	return roots, nil
}

// shortURI returns a URI for people: without the scheme if that is sip.
func shortURI(u sip.URI) string { return clean(withoutScheme(u.String())) }
