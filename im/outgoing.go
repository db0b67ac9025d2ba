package im

import "silod/sip"

// An Outgoing is a message from silod itself, for example from a room, to one user.
type Outgoing struct {
	To     sip.AoR
	Answer bool // to a request of that user
	Message
}
