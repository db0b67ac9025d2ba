package silo

import (
	"net/netip"
	"time"

	"silod/im"
	"silod/sip"
)

// Message is one stored message or reminder.
type Message struct {
	ID      int64     // the row's; rises in the order of storing
	Owner   sip.AoR   // whose mailbox: columns username and domain
	Src     string    // sender's URI without parameters: column src_addr
	Dst     string    // URI of the To header: column dst_addr
	Stored  time.Time // inc_time, whole seconds
	Expires time.Time // exp_time, whole seconds
	SendAt  time.Time // snd_time: a reminder's hour; zero for a message
	Stuck   string    // why it was set aside; "" while it waits
	Copies  int       // devices that have got their copy; counted where a message is shown or expires
	Marked  bool      // some device has got its copy, or has refused it; found out where Copies are counted

	im.Message

	senderUnverified bool // its sender is not told what becomes of it
}

// Copy is what a device has said to its copy of a message.
type Copy struct {
	Device  string
	Refused string // why it will never take it; "" where it has got it
}

// Incoming is a message on its way into the store, with what its request says
// that is no part of it.
type Incoming struct {
	Owner   sip.AoR // whose mailbox
	Message *im.Message
	Sender  sip.AoR        // who is told what becomes of it; zero: nobody
	Method  string         // of the request; "" stands for MESSAGE
	URI     string         // the Request-URI
	Contact string         // the request's Contact; "" where there is none
	Source  netip.AddrPort // where the request came from
	SendAt  time.Time      // when it is to be delivered; zero: as soon as possible

	// SafetyCopy is set for what is stored for safety only: a message for an owner who
	// is online bears no sign of it.
	SafetyCopy bool
}
