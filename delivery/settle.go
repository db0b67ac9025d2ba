package delivery

import (
	"fmt"
	"sync"
	"sync/atomic"

	"silod/sip"
)

// A settlement is the removal of one item that was delivered or refused.
type settlement struct {
	pass   *pass
	item   *Item
	out    Outcome
	done   func(error)  // the method ended, made once
	called atomic.Bool  // done was called
	open   atomic.Int32 // 2: until done is called and Settle returns
}

// settlements has settlements for reuse: every delivered item needs one.
var settlements sync.Pool

func newSettlement() *settlement {
	if s, ok := settlements.Get().(*settlement); ok {
		return s
	}
	s := new(settlement)
	s.done = s.ended
	return s
}

// settle has the Source remove an item, and does not wait for the outcome. A panic is a
// failed removal.
func (p *pass) settle(it *Item, out Outcome) {
	s := newSettlement()
	s.pass, s.item, s.out = p, it, out
	s.open.Store(2)
	p.removals.begin()
	defer func() {
		if v := recover(); v != nil {
			p.engine.logPanic(p.to, v)
			s.ended(fmt.Errorf("panic: %v", v))
			return // without close, so that s is not reused: the Source may still call done
		}
		s.close()
	}()
	p.source.Settle(p.to.AoR, it, out, s.done)
}

// ended takes the outcome of the removal. Of several outcomes the first counts: after a
// panic the Source may still call done.
func (s *settlement) ended(err error) {
	if s.called.Swap(true) {
		return
	}
	p := s.pass
	if err != nil {
		p.queue.settler.add(&removal{to: p.to, source: p.source, item: *s.item, out: s.out}, err)
	} else if s.out.Verdict == Delivered {
		p.queue.settler.remember(&p.to, s.item)
	}
	s.close()
	p.removals.end()
}

// close ends one of the two uses of a settlement. After the last one it is reused.
func (s *settlement) close() {
	if s.open.Add(-1) == 0 {
		s.pass, s.item, s.out = nil, nil, Outcome{}
		s.called.Store(false)
		settlements.Put(s)
	}
}

// A remover is the part of a Source that a removal needs.
type remover interface {
	Settle(owner sip.AoR, it *Item, out Outcome, done func(error))
}

// A removal is an item that a Source could not remove.
type removal struct {
	to     recipientKey
	source remover
	item   Item
	out    Outcome
}

// settle tries the removal once more. It calls done once; a panic is a failed removal.
func (m *removal) settle(done func(error)) {
	done = once(done)
	defer func() {
		if v := recover(); v != nil {
			done(fmt.Errorf("panic: %v", v))
		}
	}()
	m.source.Settle(m.to.AoR, &m.item, m.out, done)
}

// once returns a function of which only the first call calls done.
func once(done func(error)) func(error) {
	var called atomic.Bool
	return func(err error) {
		if !called.Swap(true) {
			done(err)
		}
	}
}

// openRemovals counts the removals that have no outcome yet.
type openRemovals struct {
	mu   sync.Mutex
	open int
	none chan struct{} // closed when open is 0 again; nil while nothing waits for that
}

func (o *openRemovals) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open++
}

func (o *openRemovals) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open--; o.open == 0 && o.none != nil {
		close(o.none)
		o.none = nil
	}
}

func (o *openRemovals) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.open
}

// wait waits for every outcome. Where cpu is not nil, the caller holds a slot.
func (o *openRemovals) wait(cpu *cpuSlots) {
	o.mu.Lock()
	if o.open == 0 {
		o.mu.Unlock()
		return
	}
	if o.none == nil {
		o.none = make(chan struct{})
	}
	none := o.none
	o.mu.Unlock()
	if cpu == nil {
		<-none
		return
	}
	cpu.releaseWhile(func() { <-none })
}
