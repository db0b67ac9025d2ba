package config

import (
	"net/netip"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"silod/sip"
)

// A rule restricts the strings that a key accepts. The tag "is" names it.
type rule struct {
	expects string // the allowed values, for messages
	ok      func(string) bool
}

// maxSocketPath is the length of sun_path in Linux's sockaddr_un without the final zero.
const maxSocketPath = 107

// columnName allows 63 bytes, at which PostgreSQL truncates names.
var (
	columnName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)
	hostLabel  = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)
	mediaType  = regexp.MustCompile(`^[A-Za-z0-9!#$&^_.+-]+/([A-Za-z0-9!#$&^_.+-]+|\*)$`)
)

var rules = map[string]rule{
	"account": {"a name or a number of a user or group", isAccount},
	"char":    {`one character such as "#", no letter, digit or space`, isCommandChar},
	"column":  {"a name of letters, digits and underscores", columnName.MatchString},
	"dir":     {"an absolute path of a directory", filepath.IsAbs},
	"host":    {`a host name or an IP address such as "example.org"`, isHost},
	"http":    {`an address and a port such as "127.0.0.1:9090"`, isHTTPListen},
	"indent":  {"spaces or tabs", func(s string) bool { return strings.Trim(s, " \t") == "" }},
	"limit":   {`a rate such as "20/10m"`, func(s string) bool { return s != "0" }},
	"media":   {`a media type such as "image/png" or "image/*"`, mediaType.MatchString},
	"path":    {"a path without control characters", isPath},
	"public":  {`a host or host:port such as "sip.example.org:5060"`, func(s string) bool { return isHost(s) || isHostPort(s) }},
	"realm":   {`a text without quotes and control characters`, isQuotable},
	"sender":  {`"all", "authenticated", "local", "nobody", an address or "@example.org"`, isSender},
	"sip":     {`a SIP URI such as "sip:proxy.example.org;transport=tcp"`, isSIPURI},
	"sipText": {
		`a SIP URI such as "sip:registrar@example.org", with or without pseudo-variables`,
		func(s string) bool { return strings.Contains(s, "$") || isSIPURI(s) },
	},
	"socket": {"a path (there is no management over UDP)", isSocket},
	"user":   {`the user part of a SIP URI such as "chat-manager"`, isURIUser},
}

func isAccount(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == ':' || r == '/' || r == 0x7f })
}

func isSender(s string) bool {
	_, err := sip.ParseSenders([]string{s})
	return err == nil
}

func isCommandChar(s string) bool {
	return len(s) == 1 && s[0] > ' ' && s[0] < 0x7f && !isAlnum(s[0])
}

func isPath(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// isSocket rejects the UDP addresses that Kamailio's mi_datagram allows, because any
// sender of a packet would have administrator rights.
func isSocket(s string) bool { return isPath(s) && !strings.HasPrefix(s, "udp:") }

// isHost reports whether s is a host name (RFC 1123 section 2.1, but with underscores)
// or an IP address. An IPv6 address may be in brackets.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		return ok && err == nil && addr.Is6()
	}
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if !hostLabel.MatchString(label) {
			return false
		}
	}
	return true
}

// isHTTPListen reports whether s is an address with a port; ":9090" is all addresses.
func isHTTPListen(s string) bool {
	host, port, ok := cutLast(s, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	return ok && err == nil && n <= 65535 && (host == "" || isHost(host))
}

// isLoopback reports whether s is a host with a port that only this machine can reach.
func isLoopback(s string) bool {
	host, _, _ := cutLast(s, ":")
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func isQuotable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == 0x7f })
}

// isSIPURI reports whether s has the form of a SIP URI. It finds typing mistakes only;
// the caller of the value parses it completely.
func isSIPURI(s string) bool {
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || !strings.EqualFold(scheme, "sip") && !strings.EqualFold(scheme, "sips") {
		return false
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '<' || r == '>' || r == '"' || r >= 0x7f }) {
		return false
	}
	if user, host, ok := cutLast(rest, "@"); ok {
		if user == "" {
			return false
		}
		rest = host
	}
	host, _, _ := strings.Cut(rest, ";")
	host, _, _ = strings.Cut(host, "?")
	return isHost(host) || isHostPort(host)
}

func isURIUser(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`@:;<>"`, r) })
}

// MediaTypes are media types such as "image/png" or "image/*".
type MediaTypes []string

// Match reports whether a Content-Type matches one of the media types. Its parameters
// are ignored.
func (m MediaTypes) Match(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	t = strings.TrimSpace(t)
	for _, want := range m {
		if strings.EqualFold(t, want) {
			return true
		}
		class, ok := strings.CutSuffix(want, "*")
		if ok && len(t) > len(class) && strings.EqualFold(t[:len(class)], class) {
			return true
		}
	}
	return false
}
