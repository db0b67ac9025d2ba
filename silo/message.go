package silo

import (
	"net/netip"
	"time"

	"silod/delivery"
	"silod/im"
	"silod/sip"
)

// A Message is a stored message or reminder.
type Message struct {
	ID      int64     // of the row; rises in the order of storing
	Owner   sip.AoR   // of the mailbox: columns username and domain
	Src     string    // sender's URI without parameters: column src_addr
	Dst     string    // URI of the To header: column dst_addr
	Stored  time.Time // inc_time, whole seconds
	Expires time.Time // exp_time, whole seconds
	SendAt  time.Time // snd_time: when a reminder is due; zero for a message
	Stuck   string    // why the message was set aside; "" if it was not
	Copies  int       // devices that have received a copy; set by List, Get and Expire
	Marked  bool      // it has marks, see Mailbox.Mark; set as Copies is, and by Next to devices
	Marks   []Copy    // of devices; stored by Add, set by ReadMarks
	Charge  *Charge   // if the sender is a stranger; stored by Add, not read

	im.Message

	senderUnverified bool  // the sender gets no notification
	size             int64 // in the store, see Size; set for delivery
}

// A Copy is the mark of a device: it records how the device has answered a message.
type Copy struct {
	Device  string
	Refused string    // why the device will never accept it; "" if it has accepted
	At      time.Time // of the answer; zero: now, or not known
}

// An Incoming is a message that may be stored, with the parts of its request that are
// not part of the message.
type Incoming struct {
	Owner   sip.AoR // of the mailbox
	Message *im.Message
	Sender  sip.AoR        // receives notifications; zero: none are sent
	Method  string         // of the request; "" stands for MESSAGE
	URI     string         // Request-URI
	Contact string         // of the request; "" if there is none
	Source  netip.AddrPort // address that the request came from
	SendAt  time.Time      // when to deliver the message; zero: as soon as possible

	// Standing is that of the sender, and Caller the sender as Settings.Senders knows it.
	Standing Standing
	Caller   sip.Sender

	// SafetyCopy says that the message is stored only in case its delivery, which
	// follows at once, fails. If the owner is online it is delivered unchanged.
	SafetyCopy bool

	// Own says that silod itself is the sender: a room, a notification. It is tried at once
	// wherever that is possible.
	Own bool

	// Refusals are those of the owner's devices, before the message was stored.
	Refusals []delivery.Refusal
	setAside bool // Put has found that all devices have refused it

	expires time.Time // of the stored message; set by Put
	src     string    // the same: Message.Src, and its size
	size    int64

	// Feigned is set by Put for a message that was not stored, which its sender must not see.
	Feigned bool
}

// A Standing says how far the sender of a message is known. Limits depend on it.
type Standing int

// The values of Standing.
const (
	Unchecked Standing = iota // silod itself, an administrator, or any sender where authentication is off
	Verified                  // authenticated here or by a trusted peer
	Stranger                  // any other sender
)

// Item returns the message that Put has stored under an ID, as far as it identifies an item of
// the Source.
func (in *Incoming) Item(id int64) delivery.Item {
	return delivery.Item{Message: im.Message{CallID: in.Message.CallID, CSeq: in.Message.CSeq}, Key: id, Expires: in.expires}
}
