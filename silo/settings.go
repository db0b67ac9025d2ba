package silo

import (
	"time"

	"silod/sip"
)

// Settings are what can be changed while the silo runs. They are msilo's
// parameters, whose names stand behind each, and ours. Zero values stand for the
// defaults given.
type Settings struct {
	Expire      time.Duration // longest life of a message; 72 h (expire_time)
	Sweep       time.Duration // how often expired messages are cleared away; 150 s (check_time times clean_period)
	MaxMessages int           // messages that an owner may have; 0: no limit (max_messages)

	MaxPerSender int // messages of one sender that an owner may have; 0: no limit

	// Whose mailbox it is, as a URI, where it is not the recipient's.
	StoreOwner Template // into which a message is put (m_store(owner))
	DumpOwner  Template // that one who registers gets as well (m_dump(owner))

	// What is done with a message by its Content-Type, and by a device's answer.
	Ephemeral func(contentType string) bool // relayed, never stored
	Discard   func(contentType string) bool // answered and forgotten
	StoreOn   func(status int) bool         // an answer after which a message is stored

	// What is added to a stored message when it is delivered.
	AddDate    bool                   // the date in front of a text (add_date)
	Date       func(time.Time) string // in words, in the configured zone; as ctime writes it, in local time
	AddFields  Fields                 // extra_hdrs
	AddContact bool                   // add_contact
	KeepFields Template               // header lines to be kept with a message when it is stored (extra_hdrs_avp)

	// Reminders. Without Reminder or Remind there are none.
	Reminder string         // URI that they are from (reminder)
	Remind   time.Duration  // how often to look for those that are due (send_time)
	SendAt   Template       // when a message is to be delivered (snd_time_avp)
	Zone     *time.Location // of a time that names none; local time

	// Notices to senders. Without NoticeFrom or NoticeText there are none.
	NoticeFrom   Template      // URI that they are from (from_address)
	NoticeText   Template      // offline_message
	NoticeFields Fields        // contact_hdr and content_type_hdr
	NoticeEvery  time.Duration // a sender hears only once of a recipient within this; 0: each time
	UseContact   bool          // a notice goes to the Contact of the message (use_contact)
	// NoticeOwn says that the user part of NoticeFrom is the server's own, not taken
	// from the message: then what is sent there goes nowhere.
	NoticeOwn bool
}

// Values gives what a pseudo-variable stands for; arg is the name in $hdr(name).
type Values = func(name, arg string) string

// Template is a text with pseudo-variables; nil is the empty text.
type Template func(Values) string

// Fields are header fields with pseudo-variables; nil is none.
type Fields func(Values) []sip.Header

func (t Template) expand(v Values) string {
	if t == nil {
		return ""
	}
	return t(v)
}

func (f Fields) expand(v Values) []sip.Header {
	if f == nil {
		return nil
	}
	return f(v)
}

// complete fills in the defaults.
func (c Settings) complete() *Settings {
	if c.Expire == 0 {
		c.Expire = 72 * time.Hour
	}
	if c.Sweep == 0 {
		c.Sweep = 150 * time.Second
	}
	if c.Zone == nil {
		c.Zone = time.Local
	}
	if c.Date == nil {
		c.Date = func(t time.Time) string { return t.Local().Format(time.ANSIC) }
	}
	never := func(string) bool { return false }
	if c.Ephemeral == nil {
		c.Ephemeral = never
	}
	if c.Discard == nil {
		c.Discard = never
	}
	if c.StoreOn == nil {
		c.StoreOn = func(status int) bool { return status >= 400 && status < 600 }
	}
	return &c
}

// reminders tells whether there are reminders.
func (c *Settings) reminders() bool { return c.Reminder != "" && c.Remind > 0 }
