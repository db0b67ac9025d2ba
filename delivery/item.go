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

	// PerDevice says that the Source records which devices have refused the item. It is not
	// sent to those in Refused. If there are some, Devices are the registered devices that
	// are left, and Partial says that others are registered too.
	PerDevice bool
	Refused   []string
	Devices   []Device
	Partial   bool

	except []string // see Except
}

// A Withdrawer is a Row of items that may be withdrawn while they wait.
type Withdrawer interface {
	// Withdrawn reports whether an item must not be sent any more, for instance because its
	// recipient has left the room. It is called for every item, and so must be cheap.
	Withdrawn(it *Item) bool
}

// Withdrawn reports whether the Source has withdrawn the item since Next returned it. Then it is
// neither sent nor settled.
func (it *Item) Withdrawn() bool {
	w, ok := it.Row.(Withdrawer)
	return ok && w.Withdrawn(it)
}

// A Device is a receiver of an owner's items.
type Device struct {
	Name       string    // "" where the owner's devices are not known
	Registered time.Time // last
}

// A Refusal says why a device will never accept an item.
type Refusal struct{ Device, Reason string }

// Except returns the names of devices that have not answered a short while ago. The item is
// not sent to them, unless no others are left.
func (it *Item) Except() []string { return it.except }
