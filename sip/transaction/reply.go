package transaction

import (
	"bytes"
	"errors"
	"sync"

	"silod/sip/transport"
)

// buffers holds buffers for encoding messages.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// maxKeptBuffer is the maximum size in bytes of a buffer that is used again.
const maxKeptBuffer = 64 << 10

// An outgoing encodes the answer of a transaction. It is a transport.Appender.
type outgoing ServerTx

// AppendTo appends the answer to b.
func (o *outgoing) AppendTo(b []byte) []byte {
	tx := (*ServerTx)(o)
	return tx.answered.Load().appendTo(b, tx)
}

// reply sends the answer to the destination that RFC 3261 section 18.2.2 specifies.
func (l *Layer) reply(tx *ServerTx) {
	l.Stats.Replies.Inc()
	if tx.answered.Load().status >= 400 {
		l.Stats.ErrorReplies.Inc()
	}
	flow := tx.Flow
	flow.Remote = tx.replyTo()
	if tx.batch != nil {
		tx.batch.Reply(flow, (*outgoing)(tx))
		return
	}
	b := buffers.Get().(*[]byte)
	*b = (*outgoing)(tx).AppendTo((*b)[:0])
	// If an answer cannot be sent over UDP, the client retransmits its request.
	if err := l.transport.Send(flow, *b); errors.Is(err, transport.ErrClosed) && flow.Transport.IsByteStream() {
		l.replyOnNewConn(tx, bytes.Clone(*b))
	}
	if cap(*b) <= maxKeptBuffer {
		buffers.Put(b)
	}
}

// replyOnNewConn sends an answer over a new connection, because that of the request is
// closed: to the source address, at the port in Via (RFC 3261 section 18.2.2). The number of
// concurrent calls is limited, because most of these clients cannot be reached, and the
// attempts end by a timeout.
func (l *Layer) replyOnNewConn(tx *ServerTx, answer []byte) {
	select {
	case l.newConns <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-l.newConns }()
		to := transport.TargetOf(tx.Flow, tx.Request.Via.Host, tx.Request.Via.Port)
		if flow, err := l.transport.Connect(l.workCtx, to); err == nil {
			_ = l.transport.Send(flow, answer)
		}
	}()
}

const maxNewConns = 32
