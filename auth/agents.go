package auth

import (
	"strings"

	"silod/mi"
)

// Scanners are parts of the User-Agent of well-known attack tools.
func Scanners() []string {
	return []string{
		"friendly-scanner", "friendly-request", "sipvicious", "sundayddr", "sip-scan", "sipscan", "siparmyknife",
		"sipcli/", "pplsip",
	}
}

// Agents matches user agents that are not served. Make it with NewAgents.
type Agents struct {
	parts   []string // lower case
	Blocked mi.Counter
}

// NewAgents makes a block list: an agent that contains any of parts, in any case, is
// blocked.
func NewAgents(parts ...string) *Agents {
	a := &Agents{}
	for _, p := range parts {
		if p = strings.ToLower(strings.TrimSpace(p)); p != "" {
			a.parts = append(a.parts, p)
		}
	}
	return a
}

// maxAgent is how much of a User-Agent is looked at, in bytes.
const maxAgent = 256

// Block tells whether the value of a User-Agent header is on the list, and counts it.
// Such requests are dropped: an answer is what a scanner is after.
func (a *Agents) Block(userAgent string) bool {
	if userAgent == "" || len(a.parts) == 0 {
		return false
	}
	agent := strings.ToLower(userAgent[:min(len(userAgent), maxAgent)])
	for _, p := range a.parts {
		if strings.Contains(agent, p) {
			a.Blocked.Inc()
			return true
		}
	}
	return false
}

// Counters are the block list's statistics.
func (a *Agents) Counters() []mi.Stat {
	return []mi.Stat{{Name: "blocked_agents", Help: "Requests dropped for their User-Agent.", Counter: &a.Blocked}}
}
