package delivery

import (
	"time"

	"silod/im"
)

// Item is a message that waits for its recipient in a Source.
type Item struct {
	im.Message
	Key     int64     // the Source's own; within one owner it rises with the order of delivery
	Expires time.Time // never delivered after this; zero for never
	Later   bool      // goes behind all that wait and are not Later, whatever its Key
	Contact string    // the URI that it is for; "" for whatever devices the owner has
	Row     any       // what the Source wants to find again in Settle
}
