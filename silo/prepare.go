package silo

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"silod/im"
	"silod/sip"
)

// prepareForDelivery makes the message that is delivered of one that was stored: the same on
// every try. Body and fields are its sender's; what is added is the Date on which
// it came, where it has none, and what the configuration asks for.
func (m *Message) prepareForDelivery(cfg *Settings) {
	passing := m.unmark()
	m.fillIDs()
	if passing {
		return
	}
	hs := m.Headers
	if m.Header("Date") == "" {
		hs = addFields(hs, []sip.Header{{Name: "Date", Value: m.Stored.UTC().Format(sipDate)}})
	}
	if cfg.AddContact && m.Src != "" {
		hs = addFields(hs, []sip.Header{{Name: "Contact", Value: "<" + m.Src + ">;msilo=yes"}})
	}
	if cfg.AddFields != nil {
		hs = addFields(hs, cfg.AddFields(m.values()))
	}
	m.Headers = hs
	if cfg.AddDate && takesDate(&m.Message) {
		m.Body = slices.Concat(m.datePrefix(cfg), m.Body)
	}
}

// sipDate is the form of a SIP date (RFC 3261 section 20.17).
const sipDate = "Mon, 02 Jan 2006 15:04:05 GMT"

// fillIDs gives a message that has no Call-ID of its own, because Kamailio stored
// it, one that is made from its row: the same on every try and every node.
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

// datePrefix is "[Offline message - Sat Nov 21 22:14:11 2026] ".
func (m *Message) datePrefix(cfg *Settings) []byte {
	kind, at := "Offline", m.Stored
	if !m.SendAt.IsZero() {
		kind, at = "Reminder", m.SendAt
	}
	return []byte("[" + kind + datePart + cfg.Date(at.In(cfg.Zone)) + "] ")
}

const datePart = " message - "

// takesDate tells whether a date may be put in front of a text: it is text/plain,
// not encoded, in a charset in which the date is written as in ASCII, and has none
// yet.
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
