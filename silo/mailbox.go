package silo

import "silod/sip"

// Mailbox returns the owner of the mailbox that a message goes to: in.Owner, unless
// the configuration names another one.
func (s *Service) Mailbox(in *Incoming) sip.AoR {
	return s.mailbox(s.cfg().StoreOwner, in)
}

// OtherMailbox returns the owner of the mailbox that is delivered to the devices of
// in.Owner besides in.Owner's own; in.Owner if there is none.
func (s *Service) OtherMailbox(in *Incoming) sip.AoR {
	return s.mailbox(s.cfg().DumpOwner, in)
}

// OtherMailboxes reports whether OtherMailbox can return another owner.
func (s *Service) OtherMailboxes() bool { return s.cfg().DumpOwner != nil }

// mailbox returns the owner that a template names; in.Owner if it names none.
func (s *Service) mailbox(t Template, in *Incoming) sip.AoR {
	if t == nil {
		return in.Owner
	}
	text := t.expand(in.values(s.opt.Now()))
	if text == "" {
		return in.Owner
	}
	a, ours, err := s.opt.Domains.Parse(text)
	if err != nil || !ours {
		s.opt.Log.Info("mailbox owner not local", "owner", text, "recipient", in.Owner, "error", err)
		return in.Owner
	}
	return a
}
