package registrar

import (
	"strconv"
	"strings"
	"time"
)

// How Kamailio's tools expect to see a binding.

// qText is empty for a contact that asked for no preference.
func qText(q float32) string {
	if q == 1 {
		return ""
	}
	return strconv.FormatFloat(float64(q), 'f', 2, 32)
}

func expiresText(b *Binding, now time.Time) string {
	if b.Expires.Sub(now) > forever/2 {
		return "permanent"
	}
	return strconv.Itoa(max(0, int(b.Expires.Sub(now)/time.Second)))
}

func orNA(s string) string {
	if s == "" {
		return "n/a"
	}
	return s
}

// received and socket are the two ends of the flow, in usrloc's spelling.
func received(b *Binding) string {
	transport, ends, ok := strings.Cut(b.Flow, ":")
	_, remote, ok2 := strings.Cut(ends, ">")
	if !ok || !ok2 {
		return ""
	}
	remote, _, _ = strings.Cut(remote, "#")
	return "sip:" + remote + ";transport=" + transport
}

func socket(b *Binding) string {
	local, _, _ := strings.Cut(b.Flow, ">")
	return local
}
