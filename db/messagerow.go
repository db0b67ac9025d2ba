package db

import (
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"silod/im"
	"silod/silo"
)

// A messageRow is a message in the form of the table silo.
type messageRow struct {
	m      *silo.Message
	values []any  // in the order of messageLayout.insert
	meta   []byte // the whole header block, for silod_meta; nil if silo has it
	stored int64  // unix seconds
	bytes  int    // its size, roughly
}

// messageRow builds the row of a message. It returns errInvalid where the message can
// never be stored.
func (l *layout) messageRow(m *silo.Message, now time.Time) (*messageRow, error) {
	if m.Charge != nil {
		l.strangers.Store(true)
	}
	c, owner := &l.messages, l.owner(m.Owner)
	r := &messageRow{m: m, stored: unix(m.Stored)}
	if m.Stored.IsZero() {
		r.stored = now.Unix()
	}
	src, dst := uriFor(c.columns[c.names.From], m.Src), uriFor(c.columns[c.names.To], m.Dst)
	for _, v := range []struct{ column, value string }{
		{c.names.User, owner.user}, {c.names.Host, owner.domain}, {c.names.From, src}, {c.names.To, dst},
	} {
		if !fits(c.columns[v.column], v.value) {
			return nil, fmt.Errorf("%w: %d characters do not fit column %s",
				errInvalid, utf8.RuneCountInString(v.value), v.column)
		}
	}
	if w := c.columns[c.names.Body].width; w > 0 && len(m.Body) > w {
		return nil, fmt.Errorf("%w: column %s holds at most %d bytes", errInvalid, c.names.Body, w)
	}
	ctype := bareType(m.Header("Content-Type"))
	if !fits(c.columns[c.names.CType], ctype) {
		ctype = "application/octet-stream" // not text, to which Kamailio would add a date
	}
	callID := m.CallID
	if !c.callID || !fits(c.columns[c.names.CallID], callID) {
		callID = ""
	}
	b := columnValuesOf(rowURI(src), rowURI(dst), callID, ctype)
	block, err := encodeBlock(&m.Message, b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInvalid, err)
	}
	column := c.columns[c.names.Headers]
	fitsColumn := func(s string) bool { return l.dialect.headersFit(column, s) }
	// Without the whole block, silo has at least the lines that Kamailio would send.
	if !c.headers || len(block) > blockMax || !fitsColumn(block) || !sameSender(m.From, b.from) {
		r.meta = []byte(block)
		block = foreignBlock(&m.Message, fitsColumn)
	}
	r.values = []any{
		src, dst, owner.user, owner.domain, r.stored, expiry(m.Expires), unix(m.SendAt), ctype, nonNil(m.Body),
	}
	if c.headers {
		r.values = append(r.values, block)
	}
	if c.callID {
		r.values = append(r.values, callID)
	}
	r.bytes = len(m.Body) + len(block) + len(r.meta) + len(m.Src) + len(m.Dst) + 100
	return r, nil
}

// fits reports whether a text column takes a value.
func fits(c columnInfo, s string) bool {
	return (c.width == 0 || len(s) <= c.width || utf8.RuneCountInString(s) <= c.width) &&
		utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

// bareType returns a Content-Type without its parameters, as Kamailio stores it.
func bareType(value string) string {
	t, _, _ := strings.Cut(value, ";")
	return strings.TrimSpace(t)
}

// noExpiry is the expiry time of a message that does not expire: the last second that the
// column can hold. Kamailio deletes messages with the expiry time 0; silod reads 0 as
// noExpiry too.
const noExpiry = math.MaxInt32

// unix returns a time as unix seconds that the column can hold, 0 for the zero time.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return min(max(t.Unix(), 0), noExpiry)
}

// expiry is unix for the expiry time of a message.
func expiry(t time.Time) int64 {
	if t.IsZero() {
		return noExpiry
	}
	return max(unix(t), 1)
}

// fromUnix is the reverse of unix and of expiry.
func fromUnix(n int64) time.Time {
	if n <= 0 || n >= noExpiry {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

// nonNil returns an empty slice for nil, which would be stored as NULL.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// anonymous is the sender of a row without one (RFC 3323 section 4.1.1.3).
const anonymous = "sip:anonymous@anonymous.invalid"

// scanMessage reads a row of selectMessage or selectCounted. A row may lack any value: it is plain
// text to its owner, of an unknown sender and time, does not expire, and its Call-ID is made from
// the row, see silo.Message.
func scanMessage(rows *sql.Rows, l *layout) (silo.Message, error) {
	var m silo.Message
	var owner rowName
	var ctype, callID string
	var headers, meta []byte
	var inc, exp, snd int64
	err := scan(rows, &m.ID, &owner.user, &owner.domain, &m.Src, &m.Dst, &inc, &exp, &snd, (*typeValue)(&ctype), &m.Body,
		&callID, &headers, &meta, &m.Stuck, &m.Copies, (*boolValue)(&m.Marked))
	if err != nil {
		return m, fmt.Errorf("read stored message: %w", err)
	}
	m.Src, m.Dst = rowURI(m.Src), rowURI(m.Dst)
	if m.Owner = l.aor(owner); m.Dst == "" {
		m.Dst = m.Owner.String()
	}
	if m.Src == "" {
		m.Src = anonymous
	}
	m.Stored, m.Expires, m.SendAt = fromUnix(inc), fromUnix(exp), fromUnix(snd)
	b := columnValuesOf(m.Src, m.Dst, callID, ctype)
	if meta != nil {
		m.Message = withBody(decodeBlock(string(meta), b, true), nonNil(m.Body))
	} else {
		m.Message = withBody(decodeBlock(string(l.dialect.decodeHeaders(headers)), b, false), nonNil(m.Body))
	}
	return m, nil
}

// A typeValue is the column of the media type: NULL is plain text, while an empty value is a
// message without Content-Type.
type typeValue string

// Scan implements sql.Scanner.
func (v *typeValue) Scan(src any) error {
	if *v = typeValue(asText(src)); src == nil {
		*v = "text/plain"
	}
	return nil
}

// withBody returns a message with another body.
func withBody(m im.Message, body []byte) im.Message {
	m.Body = body
	return m
}
