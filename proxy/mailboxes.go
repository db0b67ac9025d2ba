package proxy

import (
	"slices"
	"sync"
	"time"

	"silod/registrar"
	"silod/sip"
)

// ShareMailbox has the messages in a mailbox sent to the devices of a user, besides those
// of its owner, while the user is registered.
func (p *Proxy) ShareMailbox(owner, user sip.AoR) { p.mailboxes.add(owner, user, p.location.Online) }

// bindings returns the bindings that receive the messages in a mailbox.
func (p *Proxy) bindings(owner sip.AoR) []registrar.Binding {
	bs := p.bindingsOf(owner)
	for _, u := range p.mailboxes.onlineUsers(owner, p.location.Online) {
		bs = append(bs, p.bindingsOf(u)...)
	}
	return bs
}

// sharedMailboxes holds the mailboxes that are also delivered to other users than their
// owners (m_dump(owner)). Each REGISTER adds its user; users without a registration are
// removed. It is empty after a restart, until the next REGISTER.
//
// Lock: mu. It is held while the location is asked for online users.
type sharedMailboxes struct {
	mu      sync.Mutex
	users   map[sip.AoR][]sip.AoR // by owner
	cleared time.Time             // when all mailboxes were last searched for offline users
}

const (
	maxSharedMailboxes = 100_000
	clearInterval      = 10 * time.Second // shortest time between searches for offline users
)

// add adds a user to a mailbox, unless there are too many mailboxes.
func (s *sharedMailboxes) add(owner, user sip.AoR, online func(sip.AoR) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.users) >= maxSharedMailboxes && time.Since(s.cleared) >= clearInterval {
		s.cleared = time.Now()
		for o := range s.users {
			s.onlineUsersLocked(o, online)
		}
	}
	if s.users == nil {
		s.users = make(map[sip.AoR][]sip.AoR)
	}
	if len(s.users) < maxSharedMailboxes && !slices.Contains(s.users[owner], user) {
		s.users[owner] = append(s.users[owner], user)
	}
}

// onlineUsers returns the online users of a mailbox and removes the others.
func (s *sharedMailboxes) onlineUsers(owner sip.AoR, online func(sip.AoR) bool) []sip.AoR {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.onlineUsersLocked(owner, online)
}

// onlineUsersLocked is onlineUsers with mu held.
func (s *sharedMailboxes) onlineUsersLocked(owner sip.AoR, online func(sip.AoR) bool) []sip.AoR {
	users := s.users[owner]
	if len(users) == 0 {
		return nil
	}
	users = slices.DeleteFunc(slices.Clone(users), func(u sip.AoR) bool { return !online(u) })
	if s.users[owner] = users; len(users) == 0 {
		delete(s.users, owner)
	}
	return users
}
