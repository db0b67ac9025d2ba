package transport

import (
	"cmp"
	"context"
	"strconv"

	"silod/mi"
)

// Commands returns the management commands about sockets and connections. Their names are
// those of OpenSIPS and Kamailio.
func (l *Layer) Commands() []mi.Command {
	return []mi.Command{
		{
			Name: "list_sockets", Aliases: []string{"corex.list_sockets"},
			Help: "Lists the addresses on which silod listens for SIP.", Run: l.listSockets,
		},
		{
			Name: "list_tcp_conns", Aliases: []string{"core.tcp_list"},
			Help: "Lists the open connections: TCP, TLS and WebSocket.", Run: l.listConns,
		},
		{
			Name: "tcp_info", Aliases: []string{"core.tcp_info"},
			Help: "Shows the number of open connections and its limit.", Run: l.countConns,
		},
	}
}

// listSockets returns the listeners. Kamailio's clients expect other names, and the address
// in a nested object.
func (l *Layer) listSockets(_ context.Context, req *mi.Request) (*mi.Node, error) {
	n := &mi.Node{List: true}
	for _, e := range l.Endpoints() {
		addr, port := e.Addr.Addr().String(), strconv.Itoa(int(e.Addr.Port()))
		if req.Dialect == mi.Kamailio {
			socket := n.Add("", nil)
			socket.Add("PROTO", e.Transport.String())
			socket.Add("NAME", addr)
			socket.Add("ADDRLIST", nil).Add("ADDR", addr)
			socket.Add("PORT", port)
			socket.Add("ADVERTISE", cmp.Or(l.advertisement(), "-"))
			continue
		}
		n.Add("SOCKET", nil, mi.Attr{Name: "proto", Value: e.Transport.String()}, mi.Attr{Name: "address", Value: addr},
			mi.Attr{Name: "port", Value: port}, mi.Attr{Name: "advertise", Value: l.advertisement()})
	}
	return n, nil
}

// advertisement returns the advertised host or host:port, "" if there is none.
func (l *Layer) advertisement() string {
	if l.advertised.port == 0 {
		return l.advertised.host
	}
	return l.advertised.host + ":" + strconv.Itoa(int(l.advertised.port))
}

// listConns returns the connections. The id is the connection number in the flow of a
// contact, as Flow.String returns it.
func (l *Layer) listConns(context.Context, *mi.Request) (*mi.Node, error) {
	return &mi.Node{List: true, Stream: func(yield func(*mi.Node, error) bool) {
		for _, c := range l.conns.list() {
			opened := "peer"
			if c.dialed {
				opened = "us"
			}
			f := c.flow
			if !yield(&mi.Node{Name: "CONN", Attrs: []mi.Attr{
				{Name: "id", Value: strconv.FormatUint(f.Conn, 36)},
				{Name: "type", Value: f.Transport.ViaName()},
				{Name: "src_ip", Value: f.Remote.Addr().String()},
				{Name: "src_port", Value: int(f.Remote.Port())},
				{Name: "dst_ip", Value: f.Local.Addr().String()},
				{Name: "dst_port", Value: int(f.Local.Port())},
				{Name: "opened_by", Value: opened},
			}}, nil) {
				return
			}
		}
	}}, nil
}

// countConns returns numbers of connections. The number of open ones includes connections
// that are not in the list yet: see Open.
func (l *Layer) countConns(context.Context, *mi.Request) (*mi.Node, error) {
	n := &mi.Node{}
	n.Add("max_connections", l.opt.MaxConnections)
	n.Add("opened_connections", l.Open())
	n.Add("opened_tls_connections", l.conns.encrypted())
	n.Add("refused_connections", l.Stats.RefusedConnects.Value())
	return n, nil
}
