// Package socket serves management commands over Unix sockets: a stream socket for
// siloctl and scripts, and a datagram socket for the clients of Kamailio's mi_datagram
// and jsonrpcs modules.
//
// It owns the socket's file from its creation under the configured permissions to its
// removal, and reads the credentials of peers for the log. Package mi reads requests
// and writes replies.
package socket

import (
	"log/slog"
	"time"

	"silod/mi"
)

// grace is the time for replies in progress when the daemon stops.
const grace = 2 * time.Second

// Options configure a Control or a Datagram server. Registry, Log and Path are required.
type Options struct {
	Registry *mi.Registry
	Log      *slog.Logger
	Path     string
	Access   mi.Access // of the file at Path
	ReadOnly bool      // refuse commands that change something or show message texts

	// Timeout is how long a client may take to accept a piece of its reply. 0 is a
	// minute on a control socket, where a user may page through a list, and two
	// seconds on a datagram socket.
	Timeout time.Duration

	// MaxRequest is the size of the longest request on a control socket, in bytes; 0 is
	// mi.MaxRequest, which is the limit of a datagram socket in any case.
	MaxRequest int
}

// service returns the service that answers the requests of this socket.
func (o *Options) service(t mi.Transport) *mi.Service {
	return &mi.Service{Registry: o.Registry, Transport: t, ReadOnly: o.ReadOnly}
}
