package silo

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
	"time"

	"silod/im"
	"silod/limit"
	"silod/sip"
)

// What silod sends for a stranger has a mark, so that it comes back as a stranger's, and not as
// a message of the trusted proxy that has sent it back. The mark is a value of the field of loop
// marks, and so a part of the message, whether it is stored or relayed. If a proxy has removed
// that field, a message is recognised for a while by its sender and its text, or by its Call-ID.

// StrangerMark is a value of the header field Loop-Mark: the message is a stranger's.
const StrangerMark = "stranger"

const markField = "Loop-Mark"

// MarkStranger marks a message as a stranger's.
func MarkStranger(m *im.Message) {
	if !HasStrangerMark(m.Headers) {
		m.Headers = addField(m.Headers, markField, StrangerMark)
	}
}

// HasStrangerMark reports whether a message with these header fields is marked as a stranger's.
func HasStrangerMark(hs []sip.Header) bool {
	for i := range hs {
		if hs[i].Name != markField {
			continue
		}
		for mark := range strings.SplitSeq(hs[i].Value, ",") {
			if strings.TrimSpace(mark) == StrangerMark {
				return true
			}
		}
	}
	return false
}

// Passed holds the marks of the messages that were sent for strangers a short time ago.
// NewPassed makes one.
type Passed struct {
	seed  maphash.Seed
	now   func() time.Time
	any   atomic.Bool
	table *limit.Table[uint64, time.Time]
}

const (
	passedSize = 1 << 16
	passedFor  = 5 * time.Minute
)

// NewPassed returns an empty Passed.
func NewPassed(now func() time.Time) *Passed {
	return &Passed{
		seed: maphash.MakeSeed(), now: now,
		table: limit.NewTable[uint64](passedSize, func(at *time.Time, now time.Time) float64 { return -now.Sub(*at).Seconds() }),
	}
}

// Add remembers a message that is sent for a stranger.
func (p *Passed) Add(from, callID string, body []byte) {
	now := p.now()
	for _, k := range p.keys(from, callID, body) {
		p.table.Update(k, now, func(at *time.Time) { *at = now })
	}
	p.any.Store(true)
}

// Has reports whether a message was sent for a stranger. from is its From, or From of a message
// that has other header fields; ours is whether it is an address of this server. No stranger has
// one, so that the Call-ID does not count then, unless it is that of a reminder.
func (p *Passed) Has(from, callID string, body []byte, ours bool) (found bool) {
	if !p.any.Load() {
		return false
	}
	now, keys := p.now(), p.keys(from, callID, body)
	shown := keys[:]
	if ours && !strings.HasPrefix(callID, reminderPrefix) {
		shown = keys[:1]
	}
	for _, k := range shown {
		p.table.Find(k, func(at *time.Time) { found = found || now.Sub(*at) < passedFor })
	}
	return found
}

// keys returns two hashes of a message: of its sender and text, and of its Call-ID.
func (p *Passed) keys(from, callID string, body []byte) [2]uint64 {
	var text, call maphash.Hash
	text.SetSeed(p.seed)
	_, _ = text.WriteString(bareURI(from))
	_ = text.WriteByte(0)
	_, _ = text.Write(body)
	call.SetSeed(p.seed)
	_ = call.WriteByte(1)
	_, _ = call.WriteString(callID)
	return [2]uint64{text.Sum64(), call.Sum64()}
}
