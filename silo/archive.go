package silo

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"silod/im"
	"silod/sip"
)

// archived is a stored message as a line of JSON, without loss. docs/management.md
// describes the format. Programs depend on it: fields may be added, but none may be
// removed or change its meaning.
type archived struct {
	ID      int64        `json:"id,omitempty"` // in the store that exported it
	User    octets       `json:"user"`         // owner of the mailbox
	Domain  octets       `json:"domain"`
	Stored  time.Time    `json:"stored"`
	Expires *time.Time   `json:"expires,omitempty"` // nil: never
	SendAt  *time.Time   `json:"send_at,omitempty"` // a reminder's
	Stuck   octets       `json:"stuck,omitempty"`   // why it was set aside
	Copies  []deviceCopy `json:"copies,omitempty"`  // answers of devices
	Src     octets       `json:"src"`
	Dst     octets       `json:"dst"`
	From    octets       `json:"from"`
	To      octets       `json:"to"`
	CallID  octets       `json:"call_id"`
	CSeq    uint32       `json:"cseq"`
	Headers [][2]octets  `json:"headers"`
	Body    octets       `json:"body"`
}

// A deviceCopy is the answer of a device that has accepted or refused the message.
type deviceCopy struct {
	Device  octets     `json:"device"`
	Refused octets     `json:"refused,omitempty"`
	At      *time.Time `json:"at,omitempty"`
}

// octets are a JSON string, or {"base64": "..."} if they are not UTF-8.
type octets string

// MarshalJSON encodes any bytes without loss.
func (t octets) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return plainJSON(string(t))
	}
	return json.Marshal(map[string][]byte{"base64": []byte(t)})
}

// UnmarshalJSON decodes both forms.
func (t *octets) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, (*string)(t))
	}
	var coded struct{ Base64 *string }
	if err := json.Unmarshal(data, &coded); err != nil || coded.Base64 == nil {
		return errors.New(`expected a string, or {"base64": "..."}`)
	}
	b, err := base64.StdEncoding.DecodeString(*coded.Base64)
	*t = octets(b)
	return err
}

// plainJSON is json.Marshal without escapes for < and >, which are frequent in SIP.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// archive returns the line of a message.
func archive(m *Message, copies []Copy) *archived {
	a := &archived{
		ID: m.ID, User: octets(m.Owner.User), Domain: octets(m.Owner.Domain),
		Stored: m.Stored.UTC(), Expires: optional(m.Expires), SendAt: optional(m.SendAt), Stuck: octets(m.Stuck),
		Src: octets(m.Src), Dst: octets(m.Dst), From: octets(m.From), To: octets(m.To), CallID: octets(m.CallID), CSeq: m.CSeq,
		Headers: make([][2]octets, len(m.Headers)), Body: octets(m.Body),
	}
	for i, h := range m.Headers {
		a.Headers[i] = [2]octets{octets(h.Name), octets(h.Value)}
	}
	for _, c := range copies {
		a.Copies = append(a.Copies, deviceCopy{octets(c.Device), octets(c.Refused), optional(c.At)})
	}
	return a
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// message returns the message of a line.
func (a *archived) message() *Message {
	m := &Message{
		Owner:  sip.AoR{User: string(a.User), Domain: string(a.Domain)},
		Stored: a.Stored, Src: string(a.Src), Dst: string(a.Dst),
		Message: im.Message{
			From: string(a.From), To: string(a.To), CallID: string(a.CallID), CSeq: a.CSeq, Body: []byte(a.Body),
		},
	}
	if a.Expires != nil {
		m.Expires = *a.Expires
	}
	if a.SendAt != nil {
		m.SendAt = *a.SendAt
	}
	for _, h := range a.Headers {
		m.Headers = append(m.Headers, sip.Header{Name: string(h[0]), Value: string(h[1])})
	}
	return m
}

// marks returns the answers of devices of a line.
func (a *archived) marks() []Copy {
	var marks []Copy
	for _, c := range a.Copies {
		m := Copy{Device: string(c.Device), Refused: string(c.Refused)}
		if c.At != nil {
			m.At = *c.At
		}
		marks = append(marks, m)
	}
	return marks
}

// key returns a key that two archived messages have in common if they are the same
// message, in any store and in any state of delivery.
func (a *archived) key() string {
	b, err := plainJSON(archive(a.message(), nil))
	if err != nil {
		panic("silo: " + err.Error()) // no value in it can fail
	}
	return string(b)
}

// unarchive parses lines. An error names the line. The owners may be in any spelling.
func unarchive(lines []byte, domains sip.Domains) ([]*archived, error) {
	var list []*archived
	for n, line := range bytes.Split(bytes.TrimSpace(lines), []byte("\n")) {
		a := &archived{}
		if err := json.Unmarshal(line, a); err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		if strings.TrimSpace(string(a.User)) == "" || strings.TrimSpace(string(a.Domain)) == "" || a.Stored.IsZero() {
			return nil, fmt.Errorf("line %d: user, domain and stored are needed", n+1)
		}
		owner := domains.Row(string(a.User), string(a.Domain))
		a.User, a.Domain = octets(owner.User), octets(owner.Domain)
		for _, t := range []*time.Time{&a.Stored, a.Expires, a.SendAt} {
			if t == nil {
				continue
			}
			if *t = t.UTC().Truncate(time.Second); t.Unix() <= 0 || t.Unix() >= math.MaxInt32 { // the columns hold 32 bits
				return nil, fmt.Errorf("line %d: %s is not a time of a message", n+1, t.Format(time.RFC3339))
			}
		}
		list = append(list, a)
	}
	return list, nil
}
