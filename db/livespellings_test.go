package db

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestKamailioStoresSpellings: Kamailio stores messages under the spelling of the Request-URI.
// silod finds them under every name of the user, and leaves them for Kamailio.
func TestKamailioStoresSpellings(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url := e.fresh(t)
			db := open(t, url, Options{Domains: names})
			p, stop := startKamailio(t, url)
			for user, spellings := range map[string][]string{
				"+4917": {"%2B4917", "+4917", "%2b491%37"}, "o'neil": {"o%27neil", "o'neil"}, "carol": {"Carol", "carol", "CAROL"},
				"j%C3%BCrgen": {"jürgen", "j%C3%BCrgen"}, "9901%231": {"9901%231"},
			} {
				var want []string
				for i, s := range spellings {
					body := fmt.Sprintf("%s %d", user, i)
					p.send("MESSAGE", s, "Content-Type: text/plain\r\n", []byte(body), "202")
					want = append(want, body)
				}
				later(db)
				ms, err := db.Messages().Next(t.Context(), aor(user+"@example.org"), nil, 0, 10, time.Now())
				if err != nil || bodies(ms) != strings.Join(want, " ") {
					t.Errorf("%s: %q, %v", user, bodies(ms), err)
				}
			}
			for _, s := range []string{"%2B4917", "Carol", "jürgen"} { // back to Kamailio
				p.send("REGISTER", s, "Contact: <sip:c@"+p.conn.LocalAddr().String()+">\r\nExpires: 60\r\n", nil, "200")
				if m := p.receive(); !strings.HasPrefix(m, "MESSAGE ") {
					t.Errorf("%s got %s", s, m)
				}
			}
			stop()
		})
	}
}
