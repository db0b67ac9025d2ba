package silo

import (
	"time"

	"silod/address"
	"silod/delivery"
)

// Message is one stored message or reminder.
type Message struct {
	ID      int64       // the row's; rises in the order of storing
	Owner   address.AoR // whose mailbox: columns username and domain
	Src     string      // sender's URI without parameters: column src_addr
	Dst     string      // URI of the To header: column dst_addr
	Stored  time.Time   // inc_time, whole seconds
	Expires time.Time   // exp_time, whole seconds
	SendAt  time.Time   // snd_time: a reminder's hour; zero for a message
	Stuck   string      // why it was set aside; "" while it waits

	delivery.Message
}
