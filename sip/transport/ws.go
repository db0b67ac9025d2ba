package transport

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"silod/sip"

	"github.com/coder/websocket"
)

// pingEvery is how often a WebSocket is asked whether its browser is still there:
// neither JsSIP nor SIP.js sends anything by itself.
const pingEvery = 30 * time.Second

// serveHTTP accepts WebSockets (RFC 7118). Each upgrade runs in a goroutine of its
// own with a deadline, so a silent client stops nobody.
func (l *streamListener) serveHTTP() error {
	srv := &http.Server{
		Handler:        http.HandlerFunc(l.upgrade),
		ReadTimeout:    l.layer.opt.StartTimeout, // also of a body that nobody wants; none after the upgrade
		WriteTimeout:   l.layer.opt.StartTimeout,
		IdleTimeout:    l.layer.opt.StartTimeout,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(l.layer.opt.Log.Handler(), slog.LevelDebug),
	}
	defer srv.Close() // those that have not upgraded yet
	if err := srv.Serve(l.ln); !errors.Is(err, http.ErrServerClosed) {
		return ignoreClosed(err)
	}
	return nil
}

// upgrade makes a WebSocket of an HTTP request that asks for the subprotocol sip
// (RFC 7118 section 4.2). Any page may ask: whoever may do what is decided by the
// credentials in the SIP requests, not by Origin.
func (l *streamListener) upgrade(w http.ResponseWriter, r *http.Request) {
	if !asksFor(r.Header.Values("Sec-WebSocket-Protocol"), "sip") {
		http.Error(w, "This is a SIP server: open a WebSocket with the subprotocol \"sip\" (RFC 7118).", http.StatusBadRequest)
		return
	}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"sip"}, InsecureSkipVerify: true})
	if err != nil {
		return // Accept has answered
	}
	ws.SetReadLimit(int64(l.layer.opt.MaxMessageSize))
	c := l.adopt(addrOf(r.RemoteAddr), &wsPipe{ws: ws})
	if c == nil {
		return
	}
	defer c.close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go c.keepAlive(ctx, ws)
	c.serveFrames(ctx, ws)
}

// asksFor looks for a token in comma-separated header values.
func asksFor(values []string, token string) bool {
	m := sip.Message{}
	for _, v := range values {
		m.Headers = append(m.Headers, sip.Header{Name: "P", Value: v})
	}
	return slices.Contains(m.Tokens("P"), token)
}

type addrOf string

func (addrOf) Network() string  { return "tcp" }
func (a addrOf) String() string { return string(a) }

// serveFrames reads messages, one a WebSocket message, text or binary.
func (c *conn) serveFrames(ctx context.Context, ws *websocket.Conn) {
	wait := c.layer.opt.StartTimeout
	for {
		b, err := readFrame(ctx, ws, wait, c.layer.opt.StartTimeout)
		if err != nil {
			return
		}
		if string(b) == sip.KeepAlive {
			if c.send([]byte("\r\n")) != nil {
				return
			}
			continue
		}
		if c.layer.receiveStream(b, c.flow) != nil {
			return
		}
		wait = c.layer.opt.IdleTimeout
	}
}

// readFrame waits for the beginning of a message, and then, for another time, for
// all of it.
func readFrame(ctx context.Context, ws *websocket.Conn, begin, end time.Duration) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(begin, cancel)
	defer late.Stop()
	_, r, err := ws.Reader(ctx)
	if err != nil {
		return nil, err
	}
	late.Reset(end)
	return io.ReadAll(r)
}

// keepAlive closes a WebSocket whose browser answers no ping.
func (c *conn) keepAlive(ctx context.Context, ws *websocket.Conn) {
	t := time.NewTicker(pingEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		patience, cancel := context.WithTimeout(ctx, pingEvery)
		err := ws.Ping(patience)
		cancel()
		if err != nil {
			c.pipe.close()
			return
		}
	}
}

// wsPipe is a WebSocket.
type wsPipe struct{ ws *websocket.Conn }

// write sends a message as text, as browsers like it, unless its bytes are none.
func (p *wsPipe) write(b []byte, within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	kind := websocket.MessageText
	if !utf8.Valid(b) {
		kind = websocket.MessageBinary
	}
	return p.ws.Write(ctx, kind, b)
}

func (p *wsPipe) close() { _ = p.ws.CloseNow() }
