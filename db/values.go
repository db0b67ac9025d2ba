package db

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

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

// methodBits are the bits of the methods in Kamailio's column "methods", in their order.
// TestMethodBits has the columns that Kamailio wrote.
var methodBits = []struct {
	name string
	bit  int64
}{
	{"INVITE", 1},
	{"CANCEL", 1 << 1},
	{"ACK", 1 << 2},
	{"BYE", 1 << 3},
	{"INFO", 1 << 4},
	{"REGISTER", 1 << 5},
	{"SUBSCRIBE", 1 << 6},
	{"NOTIFY", 1 << 7},
	{"MESSAGE", 1 << 8},
	{"OPTIONS", 1 << 9},
	{"PRACK", 1 << 10},
	{"UPDATE", 1 << 11},
	{"REFER", 1 << 12},
	{"PUBLISH", 1 << 13},
	{"KDMQ", 1 << 14},
	{"GET", 1 << 15},
	{"POST", 1 << 16},
	{"PUT", 1 << 17},
	{"DELETE", 1 << 18},
	{"OTHER", 1 << 19}, // all methods that Kamailio does not know
}

// methodMask returns a list of methods as a set of bits, nil for an empty list.
func methodMask(list string) any {
	if list == "" {
		return nil
	}
	var mask int64
	for name := range strings.SplitSeq(list, ",") {
		bit := methodBits[len(methodBits)-1].bit
		for _, m := range methodBits {
			if strings.EqualFold(m.name, strings.TrimSpace(name)) {
				bit = m.bit
			}
		}
		mask |= bit
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

// localTime returns a time as Kamailio writes it where it writes texts.
func localTime(unix int64) string { return time.Unix(unix, 0).Format(time.DateTime) }

// unixOfLocal returns the time that a clock on the wall of this machine shows. Of the two times in
// the hour that is repeated in autumn it is the later one: a contact rather lives too long.
func unixOfLocal(t time.Time) int64 {
	in := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.Local)
	if later := in.Add(time.Hour); later.Hour() == in.Hour() {
		in = later
	}
	return in.Unix()
}
