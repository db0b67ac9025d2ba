package auth

import (
	"strings"
	"sync/atomic"

	"silod/mi"
)

// Agents matches user agents that are not served: those of scanners. Make it with
// NewAgents.
type Agents struct {
	parts   atomic.Pointer[[]string] // lower case
	Blocked mi.Counter
}

// NewAgents makes a block list: an agent that contains any of parts, in any case, is
// blocked.
func NewAgents(parts ...string) *Agents {
	a := &Agents{}
	a.Configure(parts...)
	return a
}

// Configure takes another list from now on.
func (a *Agents) Configure(parts ...string) {
	var list []string
	for _, p := range parts {
		if p = strings.ToLower(strings.TrimSpace(p)); p != "" {
			list = append(list, p)
		}
	}
	a.parts.Store(&list)
}

// maxAgent is how much of a User-Agent is looked at, in bytes.
const maxAgent = 256

// Block tells whether the value of a User-Agent header is on the list, and counts it.
// Such requests are dropped: an answer is what a scanner is after.
func (a *Agents) Block(userAgent string) bool {
	parts := *a.parts.Load()
	if userAgent == "" || len(parts) == 0 {
		return false
	}
	agent := strings.ToLower(userAgent[:min(len(userAgent), maxAgent)])
	for _, p := range parts {
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
