package db

import (
	"net/netip"
	"strconv"
	"strings"

	"silod/sip"
)

// asFloat returns a value as a number. For NULL and for other text it returns 1, the
// default of a contact's q value.
func asFloat(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	case float32:
		return float64(v)
	}
	f, err := strconv.ParseFloat(asText(v), 64)
	if err != nil {
		return 1
	}
	return f
}

// methodBits are the bits of the methods in Kamailio's column "methods" (request_method_t
// in msg_parser.h), in their order.
var methodBits = []struct {
	name string
	bit  int64
}{
	{"INVITE", 1},
	{"CANCEL", 2},
	{"ACK", 4},
	{"BYE", 8},
	{"INFO", 16},
	{"OPTIONS", 32},
	{"UPDATE", 64},
	{"REGISTER", 128},
	{"MESSAGE", 256},
	{"SUBSCRIBE", 512},
	{"NOTIFY", 1024},
	{"PRACK", 2048},
	{"REFER", 4096},
	{"PUBLISH", 8192},
}

// methodMask returns a list of methods as a set of bits, nil for an empty list. It leaves
// out methods that Kamailio does not know.
func methodMask(list string) any {
	if list == "" {
		return nil
	}
	var mask int64
	for name := range strings.SplitSeq(list, ",") {
		for _, m := range methodBits {
			if m.name == strings.TrimSpace(name) {
				mask |= m.bit
			}
		}
	}
	return mask
}

// methodList returns the list for a set of bits, "" for NULL and for the set of all methods.
func methodList(v any) string {
	if v == nil {
		return ""
	}
	mask := asInt(v)
	if mask < 0 || mask >= 1<<31-1 {
		return ""
	}
	var names []string
	for _, m := range methodBits {
		if mask&m.bit != 0 {
			names = append(names, m.name)
		}
	}
	return strings.Join(names, ", ")
}

// flowColumns returns a flow over UDP in the form of Kamailio: the address from which the
// contact was received, and the socket. It returns "" for a connection, which does not
// outlive its process.
func flowColumns(f sip.Flow) (received, socket string) {
	if f.Transport != sip.UDP {
		return "", ""
	}
	return "sip:" + f.Remote.String(), "udp:" + f.Local.String()
}

// flowOf returns the flow for these columns, the zero Flow where they name none. A stream,
// as Kamailio writes it, has no number, so that it is not one of our connections. Without a
// socket, the local address is the unspecified one.
func flowOf(received, socket string) sip.Flow {
	u, err := sip.ParseURI(received)
	if err != nil {
		return sip.Flow{}
	}
	remote, ok := u.AddrPort()
	t, _ := u.Transport()
	if !ok || t == 0 {
		return sip.Flow{}
	}
	f := sip.Flow{Transport: t, Remote: remote, Local: netip.AddrPortFrom(unspecified(remote.Addr()), 0)}
	if _, addr, ok := strings.Cut(socket, ":"); ok {
		if local, err := netip.ParseAddrPort(addr); err == nil {
			f.Local = local
		}
	}
	return f
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// anys converts a slice to one of type any.
func anys[T any](in []T) []any {
	out := make([]any, len(in))
	for i, v := range in {
		out[i] = v
	}
	return out
}
