package transport

import (
	"cmp"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"silod/sip"
)

// An Endpoint is an address to listen on.
type Endpoint struct {
	Transport sip.Transport
	Addr      netip.AddrPort // port 0: any free port
}

// Options are the parameters of New. Zero values stand for the defaults given.
type Options struct {
	Listen    []Endpoint
	Log       *slog.Logger
	Advertise string         // host or host:port for Via; "": the listener's address
	RootCAs   *x509.CertPool // authorities for certificates of TLS servers; nil: those of the system
	Resolver  *net.Resolver  // nil: that of the system

	// ClientCAs are the authorities for certificates of TLS clients. If it is nil, clients
	// are not asked for one. A client whose certificate is from another authority may
	// connect, but PeerNames returns no names for it.
	ClientCAs *x509.CertPool

	MaxMessageSize int           // bytes of a message, header and body; 65,535
	MaxConnections int           // open streams; 10,000
	IdleTimeout    time.Duration // of a stream between messages; 2 h
	StartTimeout   time.Duration // from connecting to the end of the first message, and for receiving each message; 30 s
	WriteTimeout   time.Duration // for sending a message over a stream, and for connecting; 5 s
}

func (o *Options) setDefaults() {
	o.MaxMessageSize = cmp.Or(o.MaxMessageSize, 65535)
	o.MaxConnections = cmp.Or(o.MaxConnections, 10_000)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 2*time.Hour)
	o.StartTimeout = cmp.Or(o.StartTimeout, 30*time.Second)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 5*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}
