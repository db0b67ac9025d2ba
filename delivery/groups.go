package delivery

// A groupName names recipients that have one share of the workers: those that a room has
// woken, or those at one destination that were woken one by one.
type groupName struct {
	room        any
	destination string
}

// A group is the recipients of one name. Groups take turns.
type group struct {
	name      groupName
	working   [lines]int // recipients that have a worker, by their line
	late      [lines]int // of these, recipients that are late
	waiting   [lines]fifo
	entries   int        // in waiting
	broadcast *broadcast // in progress; nil: none
	listed    bool       // in groups
}

// A line is where a recipient waits. It is that of its class, but recipients that were woken
// one by one have their own, unless they are slow or silent.
type line int

const (
	personal line = line(classes) // prompt
	stranger line = personal + 1  // unknown
	lines    line = stranger + 1  // their number
)

// lineOf returns the line in which a recipient waits.
func lineOf(r *recipient) line {
	switch {
	case r.place.group.name.room != nil || r.class == slow || r.class == silent:
		return line(r.class)
	case r.class == prompt:
		return personal
	}
	return stranger
}

// A place is where a recipient waits for a worker.
type place struct {
	group  *group
	number uint32 // of the last entry that was made for it; an earlier one is void
}

// An entry is a recipient that waits in a group.
type entry struct {
	r      *recipient
	number uint32
}

// void reports whether the recipient has got another place since, or a worker.
func (e entry) void() bool { return e.r.state != queued || e.r.place.number != e.number }

// A fifo is a queue of entries. The zero value is empty.
type fifo struct{ entries []entry }

func (f *fifo) empty() bool { return len(f.entries) == 0 }

func (f *fifo) push(e entry) { f.entries = append(f.entries, e) }

func (f *fifo) pop() entry {
	e := f.entries[0]
	if f.entries = f.entries[1:]; len(f.entries) == 0 {
		f.entries = nil
	}
	return e
}

// A ring has the groups with recipients of one class that wait. The first one is next.
type ring struct{ groups []*group }

// push adds a recipient to its group, and the group to the ring if it is not there.
func (l *ring) push(at line, e entry) {
	g := e.r.place.group
	if g.waiting[at].empty() {
		l.groups = append(l.groups, g)
	}
	g.waiting[at].push(e)
	g.entries++
}

// pop removes the next recipient, of the first group that may have another worker. That group
// is then the last one. pop returns nil if there is none. It calls emptied for a group in which
// all entries were void.
func (l *ring) pop(at line, may func(*group) bool, emptied func(*group)) *recipient {
	for n := len(l.groups); n > 0; {
		g := l.groups[0]
		f := &g.waiting[at]
		for !f.empty() && f.entries[0].void() {
			f.pop()
			g.entries--
		}
		switch {
		case f.empty():
			l.groups = l.groups[1:]
			emptied(g)
			n--
			continue
		case !may(g):
			l.rotate()
			n--
			continue
		}
		r := f.pop().r
		g.entries--
		if f.empty() {
			l.groups = l.groups[1:]
		} else {
			l.rotate()
		}
		return r
	}
	return nil
}

// rotate makes the first group the last one.
func (l *ring) rotate() {
	if len(l.groups) > 1 {
		l.groups = append(l.groups[1:], l.groups[0])
	}
}

// groups are the groups with recipients that wait or have a worker, or with a broadcast.
type groups map[groupName]*group

// get returns the group of a name, a new one if there is none.
func (gs groups) get(name groupName) *group {
	if g := gs[name]; g != nil {
		return g
	}
	g := &group{name: name, listed: true}
	gs[name] = g
	return g
}

// current returns the group of g's name, which is g unless it was dropped.
func (gs groups) current(g *group) *group {
	if g.listed {
		return g
	}
	if other := gs[g.name]; other != nil {
		return other
	}
	gs[g.name], g.listed = g, true
	return g
}

// drop forgets a group that is not used.
func (gs groups) drop(g *group) {
	if !g.listed || g.broadcast != nil || g.working != [lines]int{} {
		return
	}
	if g.entries > 0 {
		return
	}
	delete(gs, g.name)
	g.listed = false
}
