package mi

import (
	"errors"
	"io"
	"sync"
	"time"
)

// How a reply is handed on.
const (
	chunk   = 32 << 10               // what is written at a time
	latency = 100 * time.Millisecond // what a slow stream may keep back for so long
)

// errTooLarge ends a reply that has a limit, when it is over it.
var errTooLarge = errors.New("reply is too large")

// writer collects a reply and hands it on in chunks, so that a reply of any
// length takes no more memory than one. As long as nothing was handed on, the
// reply can still become another.
//
// mu guards everything while children of a stream are awaited: a timer then hands
// on what is there. Between begin and end of a child its encoder holds it.
type writer struct {
	dst   io.Writer
	limit int // the longest reply; 0: any length

	mu      sync.Mutex
	buf     []byte
	sent    int64
	err     error // of dst, or errTooLarge: nothing is written any more
	broken  error // of a stream: the reply ends early
	waiting bool  // inside a stream
	timer   *time.Timer

	pace *pace
}

// str, char and fill add to the reply.
func (w *writer) str(s string) { w.buf = append(w.buf, s...) }
func (w *writer) char(c byte)  { w.buf = append(w.buf, c) }
func (w *writer) fill(s string, n int) {
	for range n {
		w.str(s)
	}
}

// full tells whether more output would be of no use.
func (w *writer) full() bool {
	if w.limit > 0 && len(w.buf) > w.limit {
		w.err = errTooLarge
	}
	return w.err != nil || w.broken != nil
}

// drain hands on what is there, if that is a chunk or more.
func (w *writer) drain() {
	if w.limit == 0 && len(w.buf) >= chunk {
		w.flush()
	}
}

// flush hands on what is there, if anybody still takes it.
func (w *writer) flush() {
	if w.err == nil && len(w.buf) > 0 {
		at := time.Now()
		n, err := w.dst.Write(w.buf)
		w.sent += int64(n)
		w.err = err
		w.pace.waited(time.Since(at))
	}
	w.buf = w.buf[:0]
}

// each calls f for every child of n, those of its stream included, until the
// output is of no use any more.
func (w *writer) each(n *Node, f func(*Node)) {
	for _, c := range n.Nodes {
		if w.full() {
			return
		}
		f(c)
		w.drain()
	}
	if n.Stream != nil && !w.full() {
		w.stream(n, f)
	}
}

// stream writes the children that a command gives one by one. A command that
// panics there breaks its own reply only.
func (w *writer) stream(n *Node, f func(*Node)) {
	outer := !w.waiting
	if outer {
		w.mu.Lock()
		w.waiting = true
		w.pace.begin()
		w.timer = time.AfterFunc(latency, w.tick)
		w.mu.Unlock()
		defer func() {
			w.timer.Stop()
			w.mu.Lock() // a tick that runs now comes to its end
			w.waiting = false
			w.mu.Unlock()
		}()
	}
	_, err := guard(func() (struct{}, error) {
		for c, err := range n.Stream {
			if err != nil {
				return struct{}{}, err
			}
			if !w.child(c, f, outer) {
				break
			}
			if outer {
				w.rest()
			}
		}
		return struct{}{}, nil
	})
	if err != nil {
		w.broken = err
	}
}

// child writes one child of a stream and tells whether another is wanted.
func (w *writer) child(c *Node, f func(*Node), outer bool) bool {
	if outer {
		w.mu.Lock()
		defer w.mu.Unlock()
	}
	f(c)
	w.drain()
	return !w.full()
}

// rest waits for a while behind a stretch of work, whose lines the client has meanwhile.
func (w *writer) rest() {
	w.mu.Lock()
	short := w.sent == 0 // a short list is soon done
	d, over := w.pace.rest()
	if over && !short {
		w.flush()
	}
	w.mu.Unlock()
	if !over || short {
		return
	}
	time.Sleep(d)
	w.mu.Lock()
	w.pace.begin()
	w.mu.Unlock()
}

// tick hands on what a stream has given so far.
func (w *writer) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.waiting {
		return
	}
	if w.limit == 0 && len(w.buf) > 0 {
		w.flush()
	}
	w.timer.Reset(latency)
}
