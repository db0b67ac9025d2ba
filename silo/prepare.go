package silo

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"

	"silod/im"
	"silod/sip"
)

// prepareForDelivery changes a stored message into the one that is delivered, the same
// in every attempt. Body and header fields are the sender's. A message without a Date
// gets the date on which it was stored; further fields, and a date before the text, are
// added as configured.
func (m *Message) prepareForDelivery(cfg *Settings) {
	m.From, m.To = sip.StrictParty(m.From), sip.StrictParty(m.To) // of a row that another program has written
	safetyCopy := m.takeInternal()
	m.fillIDs()
	if safetyCopy {
		return
	}
	hs := m.Headers
	if m.Header("Date") == "" && !m.Stored.IsZero() {
		hs = addMissing(hs, []sip.Header{{Name: "Date", Value: m.Stored.UTC().Format(im.DateLayout)}})
	}
	if cfg.AddContact && m.Src != "" {
		hs = addMissing(hs, []sip.Header{{Name: "Contact", Value: "<" + m.Src + ">;msilo=yes"}})
	}
	if cfg.AddFields != nil {
		hs = addMissing(hs, cfg.AddFields(m.values()))
	}
	m.Headers = hs
	if cfg.AddDate && !m.dated().IsZero() && takesDate(&m.Message) {
		m.Body = slices.Concat(m.datePrefix(cfg), m.Body)
	}
}

// fillIDs adds the Call-ID, From tag and CSeq that a message stored by Kamailio lacks.
// They are made from the row, so they are the same in every attempt and on every node.
func (m *Message) fillIDs() {
	if m.CallID == "" {
		id := strconv.FormatInt(m.ID, 10) + "-" + strconv.FormatInt(m.Stored.Unix(), 10)
		m.CallID = "silo-" + id + "@" + m.Owner.Domain
		if from := nameAddr(m.From); from.URI.Scheme != "" && from.Tag() == "" {
			m.From += ";tag=silo-" + id
		}
	}
	if m.CSeq == 0 {
		m.CSeq = 1
	}
}

// datePrefix returns "[Offline message - Sat Nov 21 22:14:11 2026] ".
func (m *Message) datePrefix(cfg *Settings) []byte {
	kind := "Offline"
	if !m.SendAt.IsZero() {
		kind = "Reminder"
	}
	return []byte("[" + kind + datePart + cfg.Date(m.dated().In(cfg.Zone)) + "] ")
}

// dated returns the time of the date prefix, the zero time if it is not known.
func (m *Message) dated() time.Time {
	if !m.SendAt.IsZero() {
		return m.SendAt
	}
	return m.Stored
}

const datePart = " message - "

// takesDate reports whether a date may be put before the body: it is plain text, not
// encoded, in a charset that has ASCII in it, and does not begin with a date.
func takesDate(m *im.Message) bool {
	contentType := m.Header("Content-Type")
	if im.MediaType(contentType) != "text/plain" || !m.PlainEncoding() {
		return false
	}
	switch cs := im.Charset(contentType); {
	case cs == "", cs == "utf-8", cs == "us-ascii", strings.HasPrefix(cs, "iso-8859-"), strings.HasPrefix(cs, "windows-125"):
	default:
		return false
	}
	return !bytes.HasPrefix(m.Body, []byte("[Offline"+datePart)) && !bytes.HasPrefix(m.Body, []byte("[Reminder"+datePart))
}
