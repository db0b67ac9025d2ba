package delivery

import (
	"time"

	"silod/im"
)

// An Item is a message that waits in a Source for its recipient.
type Item struct {
	im.Message
	Key     int64     // rises in the order of delivery to one owner; the Source's own
	Expires time.Time // not delivered after this; zero for no end
	Later   bool      // sent behind all waiting items that are not Later, whatever its Key
	Contact string    // the URI to send to; "" for the owner's devices
	Row     any       // the Source's own, for Settle
}
