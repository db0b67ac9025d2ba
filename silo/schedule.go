package silo

import "silod/sip"

// schedule starts the delivery of a message that was committed: at once if its owner is
// online, or if silod itself is the sender and the owner can be tried. Another message for an
// owner that can be tried was stored because the owner could not be reached, so that the first
// try is made later.
func (s *Service) schedule(owner sip.AoR, own bool) {
	switch {
	case s.canTry(owner, own):
		s.opt.Waker.Wake(owner)
	case s.opt.Reachable(owner, own):
		s.opt.Waker.WakeLater(owner)
	}
}

// canTry reports whether a message is delivered at once. own reports whether silod itself is
// its sender.
func (s *Service) canTry(owner sip.AoR, own bool) bool {
	return s.opt.Online(owner) || own && s.opt.Reachable(owner, true)
}
