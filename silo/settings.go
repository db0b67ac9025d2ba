package silo

import (
	"time"

	"silod/sip"
)

// Settings can be changed while a Service runs. In parentheses are the parameters of
// Kamailio's msilo module that they stand for. A zero value stands for the default.
type Settings struct {
	Expire time.Duration // longest life of a message; 72 h (expire_time)
	Sweep  time.Duration // interval for deleting expired messages; 150 s (check_time times clean_period)

	// Limits for stored messages.
	Mailbox   Usage // of a mailbox (max_messages)
	PerSender Usage // of one sender in a mailbox
	Sender    Usage // of one authenticated sender in all mailboxes
	Source    Usage // of the strangers at one address
	Strangers Usage // of all strangers

	UnknownUsers UnknownUsers // messages for owners that are not users
	Senders      *sip.Senders // of messages that are stored; nil: all

	// URI of the owner of another mailbox than the recipient's.
	StoreOwner Template // messages are stored in it instead (m_store(owner))
	DumpOwner  Template // delivered too when the recipient registers (m_dump(owner))

	// Handling of a message by its Content-Type, and by the status of a device's answer.
	Ephemeral func(contentType string) bool // relayed, never stored
	Discard   func(contentType string) bool // answered and dropped
	StoreOn   func(status int) bool         // stored after such an answer; 4xx and 5xx

	// Additions to a stored message when it is delivered.
	AddDate    bool                   // the date before a text (add_date)
	Date       func(time.Time) string // text of a date in the configured zone; as ctime, in local time
	AddFields  Fields                 // extra_hdrs
	AddContact bool                   // add_contact
	KeepFields Template               // header lines that are stored with a message (extra_hdrs_avp)

	// Reminders. Without Reminder or Remind there are none.
	Reminder string         // URI that reminders come from (reminder)
	Remind   time.Duration  // interval for sending the reminders that are due (send_time)
	SendAt   Template       // when to deliver a message (snd_time_avp)
	Zone     *time.Location // of a time without a zone; local time

	// Notices to senders. Without NoticeFrom or NoticeText there are none.
	NoticeFrom      Template      // URI that notices come from (from_address)
	NoticeText      Template      // offline_message
	NoticeFields    Fields        // contact_hdr and content_type_hdr
	NoticeEvery     time.Duration // shortest time between two notices to a sender about a recipient; 0: no limit
	UseContact      bool          // a notice is sent to the Contact of the message (use_contact)
	NoticeFromFixed bool          // the user part of NoticeFrom is the same for all messages; then messages to it are discarded
}

// Values returns the value of a pseudo-variable; arg is the name in $hdr(name).
type Values = func(name, arg string) string

// A Template is a text with pseudo-variables; nil is the empty text.
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

// complete returns the settings with defaults filled in.
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

// reminders reports whether reminders are enabled.
func (c *Settings) reminders() bool { return c.Reminder != "" && c.Remind > 0 }
