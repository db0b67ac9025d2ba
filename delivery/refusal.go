package delivery

import (
	"context"
	"slices"
	"time"
)

// A device that has refused an item is not asked again, but the others are. Such an item is
// partial: it waits for some of the owner's devices, while those that have refused it can
// accept the items behind it. So a partial item never delays another one for long. It is
// sent in its turn, and if that fails, the pass continues, and leaves the devices that have
// failed out of its further sends.

// An absentList has the devices of a recipient that did not accept an item which another
// device had refused.
type absentList []absentDevice

// An absentDevice is a device to which nothing is sent for a while, unless it registers. A
// register limits the tries after that.
type absentDevice struct {
	name     string
	since    time.Time // when it was last tried, or has registered
	wait     time.Duration
	next     time.Time // not tried before
	back     bool      // it has registered, and may be tried
	register register
}

const (
	absentWait    = 30 * time.Second // doubled up to maxAbsentWait
	maxAbsentWait = 10 * time.Minute
	maxAbsent     = 64 // devices of a recipient; the oldest entry is dropped beyond

	firstReturn = 5 * time.Second // between the first two REGISTERs that end a wait; doubled

	recently = 30 * time.Second // a device that registered in this time is there
)

// has reports whether a device has failed and not registered since.
func (l *absentList) has(name string) bool {
	return slices.ContainsFunc(*l, func(d absentDevice) bool { return d.name == name && !d.back })
}

// add postpones the next try of a device that was tried at a time, without success.
func (l *absentList) add(name string, tried time.Time) {
	i := slices.IndexFunc(*l, func(d absentDevice) bool { return d.name == name })
	if i < 0 {
		if len(*l) >= maxAbsent {
			*l = slices.Delete(*l, 0, 1)
		}
		*l = append(*l, absentDevice{name: name})
		i = len(*l) - 1
	}
	d := &(*l)[i]
	d.since, d.wait, d.back = tried, min(max(2*d.wait, absentWait), maxAbsentWait), false
	d.next = time.Now().Add(d.wait)
}

// registered is called when a device has registered, at a time.
func (d *absentDevice) registered(at, now time.Time) {
	d.since = at
	if d.register.allow(now, firstReturn, maxAbsentWait) {
		d.back, d.wait, d.next = true, 0, time.Time{}
	} else if d.register.noLater.Before(d.next) {
		d.next = d.register.noLater
	}
}

// choose leaves absent devices out of an item. It reports false if no device is left. A
// device that has registered since it was tried is no longer absent.
func (l *absentList) choose(it *Item, now time.Time) bool {
	if len(*l) == 0 {
		return true
	}
	it.except = nil
	for i := range *l {
		d := &(*l)[i]
		for _, x := range it.Devices {
			if x.Name == d.name && x.Registered.After(d.since) && !d.back {
				d.registered(x.Registered, now)
			}
		}
		if now.Before(d.next) {
			it.except = append(it.except, d.name)
		}
	}
	return !it.Partial || slices.ContainsFunc(it.Devices, func(d Device) bool { return !slices.Contains(it.except, d.Name) })
}

// present reports whether a device is left that a partial item can be sent to. Devices that
// have failed, or have not registered for a while, are asked with OPTIONS first, which takes
// less time if they do not answer.
func (p *pass) present(ctx context.Context, it *Item) bool {
	now := time.Now()
	var suspects []string
	for _, d := range it.Devices {
		switch {
		case slices.Contains(it.except, d.Name):
		case p.absent.has(d.Name) || now.Sub(d.Registered) > recently:
			suspects = append(suspects, d.Name)
		default:
			return true
		}
	}
	if slices.ContainsFunc(suspects, func(name string) bool { return slices.Contains(p.seen, name) }) {
		return true
	}
	if p.alive(ctx, suspects) {
		p.seen = append(p.seen, suspects...)
		return true
	}
	for _, name := range suspects {
		p.absent.add(name, now)
	}
	return false
}

// leaveToOthers is called for an item whose delivery was begun and has failed. If devices have
// refused it, now or before, leaveToOthers records that, and reports true: the pass continues,
// and the item waits for the other devices.
func (p *pass) leaveToOthers(it *Item, out Outcome, begun time.Time) bool {
	if len(out.Refusals) == 0 && !it.Partial {
		return false
	}
	if len(out.Refusals) > 0 {
		p.settle(it, out)
	}
	if out.Verdict == Offline {
		return true // its devices are gone; when they register, there is another pass
	}
	p.postponed = true
	if len(out.Failed) > 0 && !out.Silent && len(p.partial) < maxSkipped {
		p.partial = append(p.partial, it.Key) // they answer, and may accept another item
		return true
	}
	for _, name := range out.Failed {
		p.absent.add(name, begun)
	}
	return true
}
