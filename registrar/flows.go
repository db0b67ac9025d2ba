package registrar

import (
	"strings"
	"sync"

	"silod/address"
)

// flowIndex knows who registered over which connection, so that the end of one
// costs no search through all bindings. Flows of UDP never end and are not in it.
// What it holds is a hint: a binding may have moved to another flow since.
type flowIndex struct {
	mu     sync.Mutex
	owners map[string][]address.AoR
}

func (x *flowIndex) add(flow string, a address.AoR) {
	if flow == "" || strings.HasPrefix(flow, "udp:") {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.owners == nil {
		x.owners = make(map[string][]address.AoR)
	}
	for _, old := range x.owners[flow] {
		if old == a {
			return
		}
	}
	x.owners[flow] = append(x.owners[flow], a)
}

// take gives and forgets the AoRs of a flow.
func (x *flowIndex) take(flow string) []address.AoR {
	x.mu.Lock()
	defer x.mu.Unlock()
	as := x.owners[flow]
	delete(x.owners, flow)
	return as
}
