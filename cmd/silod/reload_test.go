package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/auth"
	"silod/proxy"
	"silod/router"
	"silod/silo"
	"silod/sip"
)

// An effect shows that a key has another value: look must return another value than before.
type effect struct {
	lines []string // of the configuration: the other value and its dependencies
	look  func(s *served) any
}

// one returns the effect of a key without dependencies.
func one(line string, look func(s *served) any) effect { return effect{[]string{line}, look} }

// inSilo looks at the settings of the silo.
func inSilo(line string, look func(c silo.Settings) any) effect {
	return one(line, func(s *served) any { return look(s.silo.Settings()) })
}

func inRooms(line string) effect {
	return one(line, func(s *served) any { return fmt.Sprintf("%+v", s.rooms.Config()) })
}

func inRouter(line string) effect {
	return one(line, func(s *served) any {
		set := s.proxy.Settings()
		return fmt.Sprint(s.router.Settings().AcceptTimeout, set.LargeOverUDP, set.OutboundProxy != nil, set.UserProxy != nil)
	})
}

func inPings(lines ...string) effect {
	return effect{lines, func(s *served) any { return s.proxy.Settings().NATPing }}
}

func inTransport(line string) effect {
	return one(line, func(s *served) any { return s.daemon.transport.Limits() })
}

func inRegistrar(line string) effect {
	return one(line, func(s *served) any { return s.location.Settings() })
}

func inPolicy(line string, look func(router.Policy) any) effect {
	return one(line, func(s *served) any { return look(s.guard.Policy()) })
}

// inLimits looks at the third request of a new source or user.
func inLimits(line, kind string, user bool) effect {
	n := byte(0)
	return one(line, func(s *served) (ok any) {
		n++
		for range 3 {
			if user {
				_, ok = s.guard.Limits.User(kind, sip.AoR{User: fmt.Sprint("user", n), Domain: "127.0.0.1"})
			} else {
				_, ok = s.guard.Limits.Source(kind, auth.Sender{Source: netip.AddrFrom4([4]byte{192, 0, 2, n})})
			}
		}
		return ok
	})
}

// nextHopOf shows by who can be sent to: with one, everybody.
func nextHopOf(line string, of func(*served) *proxy.Sender) effect {
	return one(line, func(s *served) any { return of(s).Reachable(sip.AoR{User: "nobody", Domain: "127.0.0.1"}, false) })
}

func written(t silo.Template) string {
	if t == nil {
		return ""
	}
	return t(func(name, arg string) string { return name + arg })
}

// effects returns the effects of all keys with the tag reload.
func effects(dir string) map[string]effect {
	values := func(name, arg string) string { return name + arg }
	summer := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	certificate := effect{[]string{
		"sip.tls_certificate = '" + filepath.Join(dir, "2.pem") + "'", "sip.tls_private_key = '" + filepath.Join(dir, "2.key") + "'",
	}, func(s *served) any { return s.serial() }}
	return map[string]effect{
		"sip.domains":         one("sip.domains = ['127.0.0.1', 'other.example']", func(s *served) any { return s.domains.Has("other.example") }),
		"sip.outbound_proxy":  inRouter("sip.outbound_proxy = 'sip:127.0.0.1:9'"),
		"sip.user_proxy":      inRouter("sip.user_proxy = 'sip:127.0.0.1:9'"),
		"sip.accept_timeout":  inRouter("sip.accept_timeout = '1s'"),
		"sip.large_over_udp":  inRouter("sip.large_over_udp = false"),
		"sip.tls_certificate": certificate,
		"sip.tls_private_key": certificate,
		"sip.proxy_protocol": one("sip.proxy_protocol = ['127.0.0.1']", func(s *served) any {
			c := tls.Client(s.dialProxied("tls", "127.0.0.1", v1(client1)), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // self-signed
			return c.Handshake() == nil
		}),
		"sip.certificate": one("sip.certificate = [{certificate = '"+dir+"/three.example.pem', private_key = '"+dir+"/three.example.key'}]",
			func(s *served) any { return s.leafName("tls", "three.example") }),

		"sip.source_rate":        inTransport("sip.source_rate = 7000"),
		"sip.source_connections": inTransport("sip.source_connections = 70"),
		"sip.source_connects":    inTransport("sip.source_connects = '700/1m'"),
		"sip.source_handshakes":  inTransport("sip.source_handshakes = '70/1m'"),
		"sip.auth_timeout":       inTransport("sip.auth_timeout = '7m'"),

		"registrar.default_expires": inRegistrar("registrar.default_expires = 7"),
		"registrar.min_expires":     inRegistrar("registrar.min_expires = 7"),
		"registrar.max_expires":     inRegistrar("registrar.max_expires = 70"),
		"registrar.max_contacts":    inRegistrar("registrar.max_contacts = 7"),

		"registrar.nat_ping":          inPings("registrar.nat_ping = '7s'"),
		"registrar.nat_ping_method":   inPings("registrar.nat_ping_method = 'options'"),
		"registrar.nat_ping_failures": inPings("registrar.nat_ping_method = 'options'", "registrar.nat_ping_failures = 7"),

		"silo.from_address":               inSilo("silo.from_address = 'sip:x@127.0.0.1'", func(c silo.Settings) any { return written(c.NoticeFrom) }),
		"silo.offline_message":            inSilo("silo.offline_message = 'x'", func(c silo.Settings) any { return written(c.NoticeText) }),
		"silo.contact_hdr":                inSilo(`silo.contact_hdr = "Contact: <sip:x@y>\r\n"`, func(c silo.Settings) any { return len(c.NoticeFields(values)) }),
		"silo.content_type_hdr":           inSilo(`silo.content_type_hdr = "Content-Type: a/b\r\n"`, func(c silo.Settings) any { return len(c.NoticeFields(values)) }),
		"silo.notice_interval":            inSilo("silo.notice_interval = '7m'", func(c silo.Settings) any { return c.NoticeEvery }),
		"silo.use_contact":                inSilo("silo.use_contact = 0", func(c silo.Settings) any { return c.UseContact }),
		"silo.extra_hdrs":                 inSilo(`silo.extra_hdrs = "X-A: b\r\n"`, func(c silo.Settings) any { return len(c.AddFields(values)) }),
		"silo.extra_hdrs_avp":             inSilo(`silo.extra_hdrs_avp = '$hdr(X)'`, func(c silo.Settings) any { return written(c.KeepFields) }),
		"silo.add_date":                   inSilo("silo.add_date = 0", func(c silo.Settings) any { return c.AddDate }),
		"silo.add_contact":                inSilo("silo.add_contact = 1", func(c silo.Settings) any { return c.AddContact }),
		"silo.date_format":                inSilo("silo.date_format = '%Y'", func(c silo.Settings) any { return c.Date(summer) }),
		"silo.time_zone":                  inSilo("silo.time_zone = 'Asia/Tokyo'", func(c silo.Settings) any { return c.Zone.String() }),
		"silo.reminder":                   inSilo("silo.reminder = 'sip:r@127.0.0.1'", func(c silo.Settings) any { return c.Reminder }),
		"silo.send_time":                  inSilo("silo.send_time = 7", func(c silo.Settings) any { return c.Remind }),
		"silo.snd_time_avp":               inSilo("silo.snd_time_avp = '$hdr(X)'", func(c silo.Settings) any { return written(c.SendAt) }),
		"silo.expire_time":                inSilo("silo.expire_time = 7", func(c silo.Settings) any { return c.Expire }),
		"silo.check_time":                 inSilo("silo.check_time = 7", func(c silo.Settings) any { return c.Sweep }),
		"silo.clean_period":               inSilo("silo.clean_period = 7", func(c silo.Settings) any { return c.Sweep }),
		"silo.max_messages":               inSilo("silo.max_messages = 7", func(c silo.Settings) any { return c.Mailbox.Messages }),
		"silo.max_per_sender":             inSilo("silo.max_per_sender = 7", func(c silo.Settings) any { return c.PerSender.Messages }),
		"silo.max_bytes":                  inSilo("silo.max_bytes = 7", func(c silo.Settings) any { return c.Mailbox.Bytes }),
		"silo.max_per_sender_bytes":       inSilo("silo.max_per_sender_bytes = 7", func(c silo.Settings) any { return c.PerSender.Bytes }),
		"silo.sender_messages":            inSilo("silo.sender_messages = 7", func(c silo.Settings) any { return c.Sender }),
		"silo.sender_bytes":               inSilo("silo.sender_bytes = 7", func(c silo.Settings) any { return c.Sender }),
		"silo.strangers_per_source":       inSilo("silo.strangers_per_source = 7", func(c silo.Settings) any { return c.Source }),
		"silo.strangers_per_source_bytes": inSilo("silo.strangers_per_source_bytes = 7", func(c silo.Settings) any { return c.Source }),
		"silo.strangers_messages":         inSilo("silo.strangers_messages = 7", func(c silo.Settings) any { return c.Strangers }),
		"silo.strangers_bytes":            inSilo("silo.strangers_bytes = 7", func(c silo.Settings) any { return c.Strangers }),
		"silo.senders":                    inSilo("silo.senders = ['nobody']", func(c silo.Settings) any { return c.Senders.Allows(sip.Domains{}, sip.Sender{}) }),
		"silo.unknown_users":              inSilo("silo.unknown_users = 'hide'", func(c silo.Settings) any { return c.UnknownUsers }),
		"silo.store_on":                   inSilo("silo.store_on = ['486']", func(c silo.Settings) any { return c.StoreOn(404) }),
		"silo.store_owner":                inSilo("silo.store_owner = 'sip:$rU@127.0.0.1'", func(c silo.Settings) any { return written(c.StoreOwner) }),
		"silo.dump_owner":                 inSilo("silo.dump_owner = 'sip:$tU@127.0.0.1'", func(c silo.Settings) any { return written(c.DumpOwner) }),
		"silo.ephemeral":                  inSilo("silo.ephemeral = ['x/y']", func(c silo.Settings) any { return c.Ephemeral("x/y") }),
		"silo.discard":                    inSilo("silo.discard = ['x/y']", func(c silo.Settings) any { return c.Discard("x/y") }),
		"silo.outbound_proxy":             nextHopOf("silo.outbound_proxy = 'sip:127.0.0.1:9'", func(s *served) *proxy.Sender { return s.mail }),

		"silo.retry":     one("silo.retry = '7s'", func(s *served) any { return s.engine.Settings().Retry }),
		"silo.max_retry": one("silo.max_retry = '7m'", func(s *served) any { return s.engine.Settings().MaxRetry }),

		"imc.imc_cmd_start_char": inRooms("imc.imc_cmd_start_char = '!'"),
		"imc.extra_hdrs":         inRooms(`imc.extra_hdrs = "X-A: b\r\n"`),
		"imc.create_on_join":     inRooms("imc.create_on_join = 0"),
		"imc.check_on_create":    inRooms("imc.check_on_create = 1"),
		"imc.creators":           inRooms("imc.creators = ['local', '@example.org']"),
		"imc.owner_leave":        inRooms("imc.owner_leave = 'refuse'"),
		"imc.history":            inRooms("imc.history = '7m'"),
		"imc.catch_up":           inRooms("imc.catch_up = '7m'"),
		"imc.catch_up_max":       inRooms("imc.catch_up_max = 7"),
		"imc.open_history":       inRooms("imc.open_history = 'new'"),
		"imc.pause_after":        inRooms("imc.pause_after = '7m'"),
		"imc.echo":               inRooms("imc.echo = true"),
		"imc.max_members":        inRooms("imc.max_members = 7"),
		"imc.max_rooms":          inRooms("imc.max_rooms = 7"),
		"imc.max_rooms_per_user": inRooms("imc.max_rooms_per_user = 7"),
		"imc.message_rate":       inRooms("imc.message_rate = 7"),
		"imc.texts":              inRooms("imc.texts.joined = '{user} is here'"),
		"imc.outbound_proxy":     nextHopOf("imc.outbound_proxy = 'sip:127.0.0.1:9'", func(s *served) *proxy.Sender { return s.roomMail }),

		"mi.reply_dir":      one("mi.reply_dir = '"+filepath.Join(dir, "replies")+"/'", func(s *served) any { return s.answersIn(filepath.Join(dir, "replies")) }),
		"mi.reply_indent":   one("mi.reply_indent = '   '", func(s *served) any { return s.raw("imc_list_members", "chat-1") }),
		"mi.socket_timeout": one("mi.socket_timeout = 7", func(s *served) any { return s.datagram.Timeout() }),

		"auth.trusted": inPolicy("auth.trusted = ['192.0.2.7']", func(p router.Policy) any {
			_, ok := p.Trust.Rights(netip.MustParseAddr("192.0.2.7"))
			return ok
		}),
		"auth.relay":            inPolicy("auth.relay = 'trusted'", func(p router.Policy) any { return p.Relay }),
		"auth.strangers":        inPolicy("auth.strangers = 'all'", func(p router.Policy) any { return p.Strangers }),
		"auth.source_registers": inLimits("auth.source_registers = '1/1h'", "REGISTER", false),
		"auth.source_messages":  inLimits("auth.source_messages = '1/1h'", "MESSAGE", false),
		"auth.source_others":    inLimits("auth.source_others = '1/1h'", "", false),
		"auth.user_registers":   inLimits("auth.user_registers = '1/1h'", "REGISTER", true),
		"auth.user_messages":    inLimits("auth.user_messages = '1/1h'", "MESSAGE", true),
		"auth.blocked_agents":   one("auth.blocked_agents = ['scan-me']", func(s *served) any { return s.guard.Agents.Match("a scan-me 1.0") }),

		"log.level": one("log.level = 'warn'", func(s *served) any { return s.level.Level() }),
	}
}

// TestReloadOfEveryKey changes each key with the tag reload and changes it back. Both
// must take effect.
func TestReloadOfEveryKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeCertificate(t, dir, 1)
	makeCertificate(t, dir, 2)
	(&authority{t: t, dir: dir}).make("three.example", &x509.Certificate{})
	if err := os.Mkdir(filepath.Join(dir, "replies"), 0o700); err != nil {
		t.Fatal(err)
	}
	all := effects(dir)
	base := []string{
		"sip.listen = ['udp:127.0.0.1:0', 'tls:127.0.0.1:0']", "silo.time_zone = 'UTC'",
		"sip.tls_certificate = '" + filepath.Join(dir, "1.pem") + "'", "sip.tls_private_key = '" + filepath.Join(dir, "1.key") + "'",
	}
	s := serveFile(t, dir, base...)
	s.call("imc_create_room", "chat-1", "alice")
	for _, key := range reloadable() {
		t.Run(key, func(t *testing.T) {
			e, ok := all[key]
			if !ok {
				t.Fatal("this key has no entry in effects")
			}
			before := e.look(s)
			if got := s.reloadWith(merged(base, e.lines)...); !slices.Contains(got, key+" now") {
				t.Errorf("the reload returned %q", got)
			}
			during := e.look(s)
			if reflect.DeepEqual(before, during) {
				t.Errorf("it is still %v", before)
			}
			s.reloadWith(base...)
			if after := e.look(s); !reflect.DeepEqual(before, after) {
				t.Errorf("it was %v, and after a reload of the first configuration it is %v", before, after)
			}
			delete(all, key)
		})
	}
	if len(all) > 0 {
		t.Errorf("package config has no tag reload for %q", slices.Collect(maps.Keys(all)))
	}
}

// TestReloadReportsRestarts checks that every reload reports the keys that need a restart,
// and that a configuration with a problem has no effect.
func TestReloadReportsRestarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeCertificate(t, dir, 1)
	base := []string{"sip.listen = ['tls:127.0.0.1:0']", "sip.tls_certificate = '1.pem'", "sip.tls_private_key = '1.key'"}
	s := serveFile(t, dir, base...)
	if got := s.reloadWith(base...); len(got) != 0 {
		t.Errorf("nothing has changed, but the reload returned %q", got)
	}
	more := append(slices.Clone(base), "silo.delivery = 'every'", "silo.max_messages = 3", "auth.trusted = ['tls:a.example']")
	if got, want := s.reloadWith(more...), []string{"silo.max_messages now", "silo.delivery restart", "auth.trusted restart"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := s.reloadWith(more...), []string{"silo.delivery restart", "auth.trusted restart"}; !slices.Equal(got, want) {
		t.Errorf("the second time: got %q, want %q", got, want)
	}
	for _, bad := range []string{"silo.max_messages = 'x'", "silo.no_such_key = 1", "imc.texts.nosuch = 'x'", "silo.reminder = 'nobody'"} {
		s.write(append(slices.Clone(base), "registrar.max_contacts = 7", bad)...)
		_, err := s.tryCall("reload")
		if err == nil || !strings.Contains(err.Error(), "Nothing was changed") {
			t.Errorf("%s: %v", bad, err)
		}
		if n := s.location.Settings().MaxContacts; n != 0 {
			t.Fatalf("%s: a part of it is in effect", bad)
		}
	}
	if got := s.silo.Settings().Mailbox.Messages; got != 3 {
		t.Errorf("max_messages is %d", got)
	}
}

// New connections get a certificate that was replaced under its old name, and open
// connections stay open.
func TestReloadReadsCertificatesAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeCertificate(t, dir, 1)
	base := []string{
		"sip.listen = ['tls:127.0.0.1:0']", "sip.tls_certificate = '1.pem'", "sip.tls_private_key = '1.key'",
	}
	s := serveFile(t, dir, base...)
	old := s.secure()
	makeCertificate(t, dir, 3)
	for _, ext := range []string{".pem", ".key"} {
		if err := os.Rename(filepath.Join(dir, "3"+ext), filepath.Join(dir, "1"+ext)); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.reloadWith(base...); len(got) != 0 {
		t.Errorf("no key has changed, but the reload returned %q", got)
	}
	if n := s.serial(); n != 3 {
		t.Errorf("a new connection sees certificate %d", n)
	}
	fmt.Fprintf(old, "OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@127.0.0.1>;tag=1\r\n"+
		"To: <sip:127.0.0.1>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n")
	answer := make([]byte, 15)
	if _, err := old.Read(answer); err != nil || string(answer) != "SIP/2.0 200 OK\r" {
		t.Errorf("the open connection: %q, %v", answer, err)
	}
	if err := os.Remove(filepath.Join(dir, "1.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.tryCall("reload"); err == nil {
		t.Error("a missing private key is not an error")
	}
	if n := s.serial(); n != 3 {
		t.Errorf("after that a new connection sees certificate %d", n)
	}
}
