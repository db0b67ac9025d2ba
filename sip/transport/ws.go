package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"silod/sip"

	"github.com/coder/websocket"
)

// pingInterval is the time between pings to a WebSocket client: neither JsSIP nor SIP.js
// sends keep-alives.
const pingInterval = 30 * time.Second

// serveHTTP accepts WebSocket connections (RFC 7118) until the listener is closed. Each
// upgrade runs on its own goroutine and has a deadline.
func (l *streamListener) serveHTTP() error {
	srv := &http.Server{
		Handler:        http.HandlerFunc(l.upgrade),
		ReadTimeout:    l.layer.opt.StartTimeout, // includes a request body, which is not read; does not apply after the upgrade
		WriteTimeout:   l.layer.opt.StartTimeout,
		IdleTimeout:    l.layer.opt.StartTimeout,
		MaxHeaderBytes: 16 << 10,
		ConnContext:    func(ctx context.Context, nc net.Conn) context.Context { return context.WithValue(ctx, connKey{}, nc) },
		ErrorLog:       slog.NewLogLogger(l.layer.opt.Log.Handler(), slog.LevelDebug),
	}
	defer srv.Close() // closes connections before their upgrade
	if err := srv.Serve(l.ln); !errors.Is(err, http.ErrServerClosed) {
		return ignoreClosed(err)
	}
	return nil
}

// A connKey is the key of the net.Conn in the context of an HTTP request.
type connKey struct{}

// upgrade upgrades an HTTP request to a WebSocket and serves it. The request must name the
// subprotocol sip (RFC 7118 section 4.2). Its Origin is not checked, because SIP requests
// carry their own credentials.
func (l *streamListener) upgrade(w http.ResponseWriter, r *http.Request) {
	if !hasToken(r.Header.Values("Sec-WebSocket-Protocol"), "sip") {
		http.Error(w, "This is a SIP server: open a WebSocket with the subprotocol \"sip\" (RFC 7118).", http.StatusBadRequest)
		return
	}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"sip"}, InsecureSkipVerify: true})
	if err != nil {
		return // Accept has sent the response
	}
	ws.SetReadLimit(int64(l.layer.opt.MaxMessageSize))
	nc := r.Context().Value(connKey{}).(net.Conn)
	c := l.newConn(nc, l.layer.client(r), &wsPipe{ws: ws})
	if c == nil {
		return
	}
	defer c.close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go c.ping(ctx, ws)
	c.serveFrames(ctx, ws)
}

// hasToken reports whether comma-separated header values contain a token.
func hasToken(values []string, token string) bool {
	m := sip.Message{}
	for _, v := range values {
		m.Headers = append(m.Headers, sip.Header{Name: "P", Value: v})
	}
	return slices.Contains(m.Tokens("P"), token)
}

// A tcpAddr is the net.Addr of an address in text form.
type tcpAddr string

func (tcpAddr) Network() string  { return "tcp" }
func (a tcpAddr) String() string { return string(a) }

// serveFrames reads SIP messages, one in each WebSocket message, text or binary, until the
// connection fails or a deadline passes.
func (c *conn) serveFrames(ctx context.Context, ws *websocket.Conn) {
	wait := c.layer.opt.StartTimeout
	for {
		b, err := readFrame(ctx, ws, wait, c.layer.opt.StartTimeout)
		if err != nil {
			return
		}
		msg := sip.SkipLineEnds(b)
		if len(msg) == 0 { // a ping, or the answer to one of ours
			if bytes.HasPrefix(b, []byte(sip.KeepAlive)) && c.send([]byte("\r\n")) != nil {
				return
			}
			continue
		}
		if c.receive(msg) != nil {
			return
		}
		wait = c.layer.opt.IdleTimeout
	}
}

// readFrame reads one WebSocket message. It waits for its start until one timeout has
// passed, and then for its end until the other one has.
func readFrame(ctx context.Context, ws *websocket.Conn, start, end time.Duration) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := time.AfterFunc(start, cancel)
	defer timer.Stop()
	_, r, err := ws.Reader(ctx)
	if err != nil {
		return nil, err
	}
	timer.Reset(end)
	return io.ReadAll(r)
}

// ping sends pings, and closes the pipe if one is not answered.
func (c *conn) ping(ctx context.Context, ws *websocket.Conn) {
	t := time.NewTicker(pingInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		pong, cancel := context.WithTimeout(ctx, pingInterval)
		err := ws.Ping(pong)
		cancel()
		if err != nil {
			c.pipe.close()
			return
		}
	}
}

// A wsPipe is a WebSocket.
type wsPipe struct{ ws *websocket.Conn }

// write sends a message as text, which browser clients expect, or as binary if it is not
// valid UTF-8.
func (p *wsPipe) write(b []byte, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	kind := websocket.MessageText
	if !utf8.Valid(b) {
		kind = websocket.MessageBinary
	}
	return p.ws.Write(ctx, kind, b)
}

func (p *wsPipe) close() { _ = p.ws.CloseNow() }
