package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestTrustDoesNotPassThroughReminders has a trusted proxy send back the reminder that a stranger
// has had silod send to it, without its mark, to another domain. It stays the stranger's.
func TestTrustDoesNotPassThroughReminders(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(string) string{
		"unchanged":     func(m string) string { return m },
		"without marks": func(m string) string { return withoutField(m, "Loop-Mark") },
		"without marks, with another Call-ID": func(m string) string {
			return strings.Replace(withoutField(m, "Loop-Mark"), "Call-ID: ", "Call-ID: other-", 1)
		},
		"without marks, with another text": func(m string) string { return strings.Replace(withoutField(m, "Loop-Mark"), "milk", "MILK", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := between(t)
			p.hide = true
			s := serveUsers(t, append(reminders, "auth.trusted = ['127.0.0.1 relay identity']", "auth.relay = 'trusted'",
				"silo.outbound_proxy = 'sip:"+p.addr()+"'", retriedSoon, "silo.max_retry = '1s'")...)
			victim := listen(t, "127.0.0.3")
			returned := make(chan string, 100)
			p.routeBy(func(m string) (netip.AddrPort, string) {
				if strings.Contains(m, "sip:reminder@127.0.0.1") {
					select {
					case returned <- m:
					default:
					}
				}
				return s.addr("udp"), change(strings.Replace(m, "MESSAGE "+bob, "MESSAGE sip:victim@"+victim.addr(), 1))
			})
			at := time.Now().Add(2 * time.Second).UTC().Format("20060102150405")
			if got := s.stranger("udp", "127.0.0.9").message(bob, "milk", "X-Send-At: "+at); got != 202 {
				t.Fatalf("the message was answered %d", got)
			}
			select {
			case <-returned:
			case <-time.After(patience):
				t.Fatal("no reminder was sent")
			}
			s.eventually("that the reminder is refused", func() bool { return s.stat("auth:no_credentials") > 0 })
			victim.nothing()
		})
	}
}

// withoutField removes all fields with a name from a message.
func withoutField(m, name string) string {
	head, text, _ := strings.Cut(m, "\r\n\r\n")
	var kept []string
	for line := range strings.SplitSeq(head, "\r\n") {
		if !strings.HasPrefix(line, name+":") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\r\n") + "\r\n\r\n" + text
}
