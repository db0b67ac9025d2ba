package mi

import (
	"errors"
	"io"
	"sync"
	"time"
)

// The limits of the output buffer.
const (
	chunk   = 32 << 10               // bytes after which it is written
	latency = 100 * time.Millisecond // after which the output of a slow stream is written
)

// errTooLarge ends a reply that is longer than its limit.
var errTooLarge = errors.New("reply is too large")

// writer encodes a reply and writes it in chunks, so that a reply of any length takes the
// memory of one chunk. Until the first chunk is written, the reply can be replaced.
//
// mu guards all fields while a stream runs, as a timer then writes the buffer. The encoder
// of a child holds mu.
type writer struct {
	dst   io.Writer
	limit int // the longest reply; 0: any length

	mu        sync.Mutex
	buf       []byte
	sent      int64       // bytes that dst has taken
	err       error       // of dst, or errTooLarge: nothing more is written
	broken    error       // of a stream: the reply ends early
	streaming bool        // inside a stream
	timer     *time.Timer // calls tick while streaming
	pace      *pace       // decides when a stream pauses; nil: never
}

// str, char and fill append to the reply.
func (w *writer) str(s string) { w.buf = append(w.buf, s...) }
func (w *writer) char(c byte)  { w.buf = append(w.buf, c) }
func (w *writer) fill(s string, n int) {
	for range n {
		w.str(s)
	}
}

// full reports whether further output is discarded.
func (w *writer) full() bool {
	if w.limit > 0 && len(w.buf) > w.limit {
		w.err = errTooLarge
	}
	return w.err != nil || w.broken != nil
}

// drain writes the buffer if it has a chunk or more.
func (w *writer) drain() {
	if w.limit == 0 && len(w.buf) >= chunk {
		w.flush()
	}
}

// flush writes the buffer, or discards it after an error.
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

// each calls f for every child of n and of its stream, until the output is full.
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

// stream writes the children that a command yields one by one. A panic of the command
// breaks this reply only.
func (w *writer) stream(n *Node, f func(*Node)) {
	outer := !w.streaming
	if outer {
		w.mu.Lock()
		w.streaming = true
		w.pace.begin()
		w.timer = time.AfterFunc(latency, w.tick)
		w.mu.Unlock()
		defer func() {
			w.timer.Stop()
			w.mu.Lock() // waits for a tick that runs now
			w.streaming = false
			w.mu.Unlock()
		}()
	}
	_, err := recovered(func() (struct{}, error) {
		for c, err := range n.Stream {
			if err != nil {
				return struct{}{}, err
			}
			if !w.child(c, f, outer) {
				break
			}
			if outer {
				w.pause()
			}
		}
		return struct{}{}, nil
	})
	if err != nil {
		w.broken = err
	}
}

// child writes one child of a stream and reports whether to continue.
func (w *writer) child(c *Node, f func(*Node), outer bool) bool {
	if outer {
		w.mu.Lock()
		defer w.mu.Unlock()
	}
	f(c)
	w.drain()
	return !w.full()
}

// pause waits at the end of a slice, after its output is written.
func (w *writer) pause() {
	w.mu.Lock()
	short := w.sent == 0 // less than a chunk: a short list does not pause
	d, over := w.pace.pause()
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

// tick writes the output of a slow stream.
func (w *writer) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.streaming {
		return
	}
	if w.limit == 0 && len(w.buf) > 0 {
		w.flush()
	}
	w.timer.Reset(latency)
}
