package auth

import (
	"slices"
	"strings"
	"sync/atomic"

	"silod/mi"
)

// Agents is a block list of user agents, for scanners. NewAgents makes one.
type Agents struct {
	parts   atomic.Pointer[[]string] // lower case
	Blocked mi.Counter
}

// NewAgents returns a block list of the user agents that contain one of parts, in upper
// or lower case.
func NewAgents(parts ...string) *Agents {
	a := &Agents{}
	a.Configure(parts...)
	return a
}

// Configure changes the list.
func (a *Agents) Configure(parts ...string) {
	var list []string
	for _, p := range parts {
		if p = strings.ToLower(strings.TrimSpace(p)); p != "" {
			list = append(list, p)
		}
	}
	a.parts.Store(&list)
}

// maxAgent is the number of bytes of a User-Agent that are searched.
const maxAgent = 256

// Match reports whether the value of a User-Agent header is on the list. Such a request must
// be dropped and counted in Blocked, unless the peer is trusted: scanners look for servers
// that answer.
func (a *Agents) Match(userAgent string) bool {
	parts := *a.parts.Load()
	if userAgent == "" || len(parts) == 0 {
		return false
	}
	agent := strings.ToLower(userAgent[:min(len(userAgent), maxAgent)])
	return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(agent, p) })
}

// Counters returns the statistics of the block list.
func (a *Agents) Counters() []mi.Stat {
	return []mi.Stat{{Name: "blocked_agents", Help: "Requests dropped for their User-Agent.", Counter: &a.Blocked}}
}
