package mi

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// errNoStats is the refusal of names that are all unknown.
var errNoStats = &Error{404, "Statistics Not Found"}

// statistics returns the commands about statistics.
func (c *Core) statistics() []Command {
	asText := func(v int64) any { return strconv.FormatInt(v, 10) }
	asNumber := func(v int64) any { return v }
	// MinArgs is 0 because Kamailio's JSON-RPC has its own text for a missing argument.
	cmds := []Command{
		{Name: "get_statistics", Help: "Shows statistics: all, GROUP:, NAME or GROUP:NAME.", Run: c.getStats},
		{Name: "reset_statistics", Help: "Sets counters to zero.", Writes: true, Run: c.resetStats},
		{Name: "clear_statistics", Help: "Shows statistics and sets the counters to zero.", Writes: true, Run: c.clearStats},
		{Name: "stats.fetch", Help: "Returns statistics as an object of strings.", Run: c.fetchStats(asText)},
		{Name: "stats.fetchn", Help: "Returns statistics as an object of numbers.", Run: c.fetchStats(asNumber)},
	}
	for i := range cmds {
		cmds[i].Args, cmds[i].MaxArgs = "STATISTICS...", -1
		if !strings.HasPrefix(cmds[i].Name, "stats.") {
			cmds[i].Aliases = []string{"stats." + cmds[i].Name}
		}
	}
	return append(cmds, Command{Name: "list_statistics", Help: "Lists the names of all statistics.", Run: c.listStats})
}

// requested returns the statistics that a request names. If all names are unknown, that is
// an error, except in Kamailio's JSON-RPC.
func (c *Core) requested(req *Request) ([]sample, error) {
	if len(req.Args) == 0 {
		if req.Dialect == Kamailio {
			return nil, Errorf(400, "Please provide which stats to retrieve")
		}
		return nil, ErrArguments
	}
	found := c.Registry.selectStats(req.Args)
	if len(found) == 0 && req.Dialect != Kamailio {
		return nil, errNoStats
	}
	return found, nil
}

// getStats returns statistics as numbers in OpenSIPS's JSON-RPC and for siloctl, and as
// lines of text in the other dialects.
func (c *Core) getStats(_ context.Context, req *Request) (*Node, error) {
	found, err := c.requested(req)
	if err != nil {
		return nil, err
	}
	if req.Dialect == OpenSIPS || req.Dialect == Native {
		return statObject(found, sample.key, func(v int64) any { return v }), nil
	}
	n := &Node{List: true}
	for _, s := range found {
		n.Add("", s.line())
	}
	return n, nil
}

// listStats lists all statistics with OpenSIPS's names for counters and gauges.
func (c *Core) listStats(_ context.Context, req *Request) (*Node, error) {
	n := &Node{}
	for group, s := range c.Registry.Statistics() {
		kind := "incremental"
		if s.Gauge != nil {
			kind = "non-incremental"
		}
		if req.Dialect == Native {
			n.Add(group+":"+s.Name, nil, Attr{"kind", kind}, Attr{"help", s.Help})
		} else {
			n.Add(group+":"+s.Name, kind)
		}
	}
	return n, nil
}

// resetStats sets counters to zero. Gauges stay as they are.
func (c *Core) resetStats(_ context.Context, req *Request) (*Node, error) {
	found, err := c.requested(req)
	if err != nil {
		return nil, err
	}
	for _, s := range found {
		if s.Counter != nil {
			s.Counter.Reset()
		}
	}
	return nil, nil
}

// clearStats returns statistics and sets the counters to zero. A counter that was not zero
// is shown as "new (old)".
func (c *Core) clearStats(_ context.Context, req *Request) (*Node, error) {
	found, err := c.requested(req)
	if err != nil {
		return nil, err
	}
	n := &Node{List: true}
	for _, s := range found {
		old := int64(0)
		if s.Counter != nil {
			old = s.Counter.Reset()
		}
		line := s.line()
		if old != 0 {
			line += fmt.Sprintf(" (%d)", old)
		}
		n.Add("", line)
	}
	if req.Dialect == Kamailio && len(n.Nodes) == 1 {
		return n.Nodes[0], nil // Kamailio answers with the bare line
	}
	return n, nil
}

// fetchStats returns statistics under the names of Kamailio 5: with a dot, without a dash.
func (c *Core) fetchStats(value func(int64) any) func(context.Context, *Request) (*Node, error) {
	return func(_ context.Context, req *Request) (*Node, error) {
		found, err := c.requested(req)
		if err != nil {
			return nil, err
		}
		return statObject(found, fetchKey, value), nil
	}
}

// fetchKey returns a name such as usrloc.location_users for usrloc:location-users.
func fetchKey(s sample) string { return strings.ReplaceAll(s.group+"."+s.Name, "-", "_") }

// statObject returns an object that has each statistic once, however often it was named.
func statObject(found []sample, key func(sample) string, value func(int64) any) *Node {
	n, seen := &Node{}, map[string]bool{}
	for _, s := range found {
		if k := key(s); !seen[k] {
			seen[k] = true
			n.Add(k, value(s.Value()))
		}
	}
	return n
}
