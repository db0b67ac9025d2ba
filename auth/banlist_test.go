package auth

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"silod/limit"
	"silod/mi"
	"silod/sip"
)

// registry returns a registry of commands, like the daemon's.
func registry(log *bytes.Buffer, commands ...mi.Command) *mi.Registry {
	r := mi.NewRegistry(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	r.Add(commands...)
	return r
}

// call runs a command and returns its reply as text lines, or the error.
func call(r *mi.Registry, command string, args ...string) string {
	req := &mi.Request{Command: command}
	for _, a := range args {
		req.Args = append(req.Args, mi.Arg{Value: a})
	}
	n, err := r.Call(context.Background(), req)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	write := func(c *mi.Node) {
		b.WriteString(c.Name)
		for _, a := range c.Attrs {
			fmt.Fprintf(&b, " %s=%v", a.Name, a.Value)
		}
		b.WriteString("\n")
	}
	for _, c := range n.Nodes {
		write(c)
	}
	if n.Stream != nil {
		for c, err := range n.Stream {
			if err != nil {
				return b.String() + err.Error()
			}
			write(c)
		}
	}
	return b.String()
}

func TestBanCommands(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	bans := NewBans(BanOptions{
		Failures: limit.Rate{N: 1, Per: time.Hour}, PerUser: limit.Rate{N: 3, Per: time.Hour}, For: time.Minute,
		Now: func() time.Time { return now },
	})
	r := registry(&bytes.Buffer{}, bans.Commands(ours)...)
	if got := call(r, "ban_list"); got != "" {
		t.Errorf("without bans, listed are %s", got)
	}
	six := netip.MustParseAddr("2001:db8::1")
	for _, f := range []struct {
		from netip.Addr
		user string
	}{{here, "alice"}, {here, "alice"}, {there, "alice"}, {six, "x1"}, {six, "x2"}} {
		bans.fail(aor(t, f.user), limit.NetworkOf(f.from), sip.Flow{}, false)
		now = now.Add(time.Second)
	}
	const all = "BAN address=192.0.2.1 user=sip:alice@sip.test until=2027-01-15T08:01:01Z seconds=56\n" +
		"BAN address=2001:db8::/64 user= until=2027-01-15T08:01:04Z seconds=59\n" +
		"BAN address=any user=sip:alice@sip.test until=2027-01-15T08:19:59Z seconds=1194\n"
	for _, step := range []struct{ command, args, want string }{
		{"ban_list", "", all},
		{"ban_lift", "192.0.2.2", "404 192.0.2.2 is not banned"},
		{"ban_lift", "192.0.2.9", "404 192.0.2.9 is not banned"},
		{"ban_lift", "bob", `400 "bob" is not an address: use one that ban_list shows`},
		{"ban_lift", "192.0.2.1 bob", "404 sip:bob@sip.test is not banned at 192.0.2.1"},
		{"ban_lift", "192.0.2.1 @", `400 Bad user, URI "sip:@" has an empty user part`},
		{"ban_lift", "any", "400 A user is required with the address any"},
		{"ban_lift", "any bob", "404 sip:bob@sip.test is not banned"},
		{"ban_lift", "192.0.2.1 ALICE", ""},
		{"ban_lift", "192.0.2.1", "404 192.0.2.1 is not banned"},
		{"ban_lift", "any alice", ""},
		{"ban.lift", "2001:db8::/64", ""},
		{"ban.list", "", ""},
	} {
		if got := call(r, step.command, strings.Fields(step.args)...); got != step.want {
			t.Errorf("%s %s: got %q, want %q", step.command, step.args, got, step.want)
		}
	}
	// The failures before are reset, and an address stands for the users there.
	for range 2 {
		if bans.fail(aor(t, "alice"), limit.NetworkOf(here), sip.Flow{}, false); len(bans.List()) > 1 {
			t.Errorf("banned by one failure: %v", bans.List())
		}
	}
	if got := call(r, "ban_lift", "192.0.2.1"); got != "" || len(bans.List()) != 0 {
		t.Errorf("%q, still banned %v", got, bans.List())
	}
}
