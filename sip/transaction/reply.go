package transaction

import (
	"bytes"
	"errors"
	"sync"

	"silod/sip/transport"
)

// buffers are for messages that are not kept once they are sent.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// keptBuffer is how large a buffer may have grown to be used again, in bytes.
const keptBuffer = 64 << 10

// outgoing writes the answer of a transaction.
type outgoing ServerTx

// AppendTo is a transport.Appender's.
func (o *outgoing) AppendTo(b []byte) []byte {
	tx := (*ServerTx)(o)
	return tx.answered.Load().appendTo(b, tx)
}

// reply sends the answer to where RFC 3261 section 18.2.2 wants it.
func (l *Layer) reply(tx *ServerTx) {
	l.Stats.Replies.Inc()
	if tx.answered.Load().status >= 400 {
		l.Stats.ErrorReplies.Inc()
	}
	if tx.batch != nil {
		tx.batch.Reply(tx.replyTo(), (*outgoing)(tx))
		return
	}
	b := buffers.Get().(*[]byte)
	*b = (*outgoing)(tx).AppendTo((*b)[:0])
	flow := tx.Flow
	flow.Remote = tx.replyTo()
	// The client asks again for an answer that cannot be sent, except over a byte stream.
	if err := l.transport.Send(flow, *b); errors.Is(err, transport.ErrClosed) && flow.Transport.IsByteStream() {
		l.replyOnNewConn(tx, bytes.Clone(*b))
	}
	if cap(*b) <= keptBuffer {
		buffers.Put(b)
	}
}

// replyOnNewConn sends an answer whose connection has closed over another one, to the
// source's address at the port in Via (RFC 3261 section 18.2.2). Few do so at a time: most
// clients that have gone cannot be connected to, which takes long to find out.
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
