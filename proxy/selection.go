package proxy

import (
	"slices"

	"silod/delivery"
	"silod/sip"
)

// directory returns the Directory of the devices with a name, "" for any, to which an item is
// to be sent.
func (s *Sender) directory(name string, it *delivery.Item) Directory {
	if name == "" && it.Contact == "" && it.Refused == nil && it.Except() == nil && s.settings.Load().RoomProxy == nil {
		return s
	}
	return &selection{sender: s, name: name, item: it}
}

// A selection is a Directory of the devices to which an item is to be sent.
type selection struct {
	sender  *Sender
	name    string
	item    *delivery.Item
	read    bool     // Devices has been called
	leftOut []Device // by the first call
}

// leavesOut reports whether a Directory has left out devices that may accept the item later.
func leavesOut(d Directory) bool {
	s, ok := d.(*selection)
	return ok && len(s.leftOut) > 0
}

// Devices implements Directory. A device that the first call has left out because it was
// absent is there again when its routes have changed.
func (d *selection) Devices(owner sip.AoR) []Device {
	ds := d.sender.devices(owner, d.name, d.item.Contact, d.sender.nextHop(&d.item.Message))
	if !d.read {
		d.read = true
		ds, d.leftOut = choose(ds, d.item)
		return ds
	}
	return slices.DeleteFunc(ds, func(x Device) bool {
		return x.Name != "" && slices.Contains(d.item.Refused, x.Name) || slices.ContainsFunc(d.leftOut, x.isUnchanged)
	})
}

// isUnchanged reports whether a device has the same routes as before.
func (d Device) isUnchanged(before Device) bool {
	return slices.EqualFunc(d.Routes, before.Routes, Route.same)
}

// A namedDevices is a Directory of the devices with some names, all if there are none.
type namedDevices struct {
	sender *Sender
	names  []string
}

func (d namedDevices) Devices(owner sip.AoR) []Device {
	return named(d.sender.Devices(owner), d.names)
}
